// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// A wallet with Safe's interface and one owner, who signs or is the sender (v = 1).
contract Safe {
    address public immutable owner;
    uint256 public nonce;

    bytes32 internal constant SAFE_TX_TYPEHASH = keccak256(
        "SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
    );

    event ExecutionSuccess(bytes32 indexed txHash, uint256 payment);
    event ExecutionFailure(bytes32 indexed txHash, uint256 payment);
    event SafeReceived(address indexed sender, uint256 value);

    constructor(address owner_) {
        owner = owner_;
    }

    receive() external payable {
        emit SafeReceived(msg.sender, msg.value);
    }

    function domainSeparator() public view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(uint256 chainId,address verifyingContract)"), block.chainid, address(this)
            )
        );
    }

    function getTransactionHash(
        address to, uint256 value, bytes calldata data, uint8 operation, uint256 safeTxGas, uint256 baseGas,
        uint256 gasPrice, address gasToken, address refundReceiver, uint256 nonce_
    ) public view returns (bytes32) {
        bytes memory head = abi.encode(SAFE_TX_TYPEHASH, to, value, keccak256(data), operation, safeTxGas);
        bytes memory tail = abi.encode(baseGas, gasPrice, gasToken, refundReceiver, nonce_);
        return keccak256(abi.encodePacked("\x19\x01", domainSeparator(), keccak256(bytes.concat(head, tail))));
    }

    function execTransaction(
        address to, uint256 value, bytes calldata data, uint8 operation, uint256 safeTxGas, uint256 baseGas,
        uint256 gasPrice, address gasToken, address payable refundReceiver, bytes memory signatures
    ) external payable returns (bool success) {
        bytes32 hash = getTransactionHash(
            to, value, data, operation, safeTxGas, baseGas, gasPrice, gasToken, refundReceiver, nonce
        );
        nonce += 1;
        check(hash, signatures);
        if (operation == 1) (success,) = to.delegatecall(data);
        else (success,) = to.call{value: value}(data);
        require(success || safeTxGas != 0 || gasPrice != 0, "GS013");
        if (success) emit ExecutionSuccess(hash, 0);
        else emit ExecutionFailure(hash, 0);
    }

    function check(bytes32 hash, bytes memory signatures) internal view {
        require(signatures.length == 65, "GS020");
        (bytes32 r, bytes32 s) = (word(signatures, 32), word(signatures, 64));
        uint8 v = uint8(signatures[64]);
        address found = v == 1 ? address(uint160(uint256(r))) : ecrecover(hash, v, r, s);
        require(found == owner && (v != 1 || msg.sender == owner), "GS026");
    }

    function word(bytes memory text, uint256 at) internal pure returns (bytes32 found) {
        assembly {
            found := mload(add(text, at))
        }
    }
}

/// Safe's MultiSend: many calls packed into one string, made by whoever delegates to it.
contract MultiSend {
    function multiSend(bytes memory transactions) external payable {
        uint256 at;
        while (at < transactions.length) {
            uint8 operation;
            address to;
            uint256 value;
            uint256 length;
            bool success;
            assembly {
                let here := add(add(transactions, 32), at)
                operation := shr(248, mload(here))
                to := shr(96, mload(add(here, 1)))
                value := mload(add(here, 21))
                length := mload(add(here, 53))
                switch operation
                case 0 { success := call(gas(), to, value, add(here, 85), length, 0, 0) }
                case 1 { success := delegatecall(gas(), to, add(here, 85), length, 0, 0) }
            }
            require(success, "a call failed");
            at += 85 + length;
        }
    }
}

/// A smart account with the usual execute and executeBatch, for its owner alone.
contract Account {
    address public immutable owner;

    struct Call {
        address target;
        uint256 value;
        bytes data;
    }

    constructor(address owner_) {
        owner = owner_;
    }

    receive() external payable {}

    function execute(address target, uint256 value, bytes calldata data) external payable {
        one(target, value, data);
    }

    function executeBatch(Call[] calldata calls) external payable {
        for (uint256 i = 0; i < calls.length; i++) one(calls[i].target, calls[i].value, calls[i].data);
    }

    function one(address target, uint256 value, bytes calldata data) internal {
        require(msg.sender == owner, "not the owner");
        (bool success,) = target.call{value: value}(data);
        require(success, "a call failed");
    }
}
