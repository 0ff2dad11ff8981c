"""Where the ciphertexts lie: `ContentStore` and its errors."""
