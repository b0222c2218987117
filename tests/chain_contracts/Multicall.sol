// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// Multicall3's interface: several calls in one transaction. What is called sees this contract as the sender.
contract Multicall {
    struct Call {
        address target;
        bytes callData;
    }

    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Call3Value {
        address target;
        bool allowFailure;
        uint256 value;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    function aggregate(Call[] calldata calls) external payable returns (uint256 number, bytes[] memory returned) {
        number = block.number;
        returned = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; i++) {
            returned[i] = one(calls[i].target, false, 0, calls[i].callData).returnData;
        }
    }

    function tryAggregate(bool requireSuccess, Call[] calldata calls) external payable returns (Result[] memory results) {
        results = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; i++) {
            results[i] = one(calls[i].target, !requireSuccess, 0, calls[i].callData);
        }
    }

    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory results) {
        results = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; i++) {
            results[i] = one(calls[i].target, calls[i].allowFailure, 0, calls[i].callData);
        }
    }

    function aggregate3Value(Call3Value[] calldata calls) external payable returns (Result[] memory results) {
        uint256 given;
        results = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; i++) {
            given += calls[i].value;
            results[i] = one(calls[i].target, calls[i].allowFailure, calls[i].value, calls[i].callData);
        }
        require(msg.value == given, "Multicall3: value mismatch");
    }

    function one(address target, bool mayFail, uint256 value, bytes calldata data) internal returns (Result memory) {
        (bool success, bytes memory returned) = target.call{value: value}(data);
        require(success || mayFail, "Multicall3: call failed");
        return Result(success, returned);
    }
}
