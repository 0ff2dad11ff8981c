// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {RouteLink} from "../types/Types.sol";

/// @title Route commitments: each hop's signer, hidden until it acts
/// @author The DeepRing authors
/// @notice Binds each hop to one account.
library Routes {
    bytes32 internal constant TAG = "deepring/v1/route";

    /// @notice route_k = keccak256(tag, signer_k, salt_k, route_{k+1}).
    /// @param signer the hop's account
    /// @param salt 32 random bytes that hide the signer
    /// @param rest the rest of the route; zero after the last hop
    /// @return the link
    function link(address signer, bytes32 salt, RouteLink rest) internal pure returns (RouteLink) {
        return RouteLink.wrap(keccak256(abi.encode(TAG, signer, salt, rest)));
    }
}
