"""Every parser, searched for undeclared errors, hangs and memory."""
