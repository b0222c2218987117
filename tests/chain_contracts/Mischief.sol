// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import "./Token.sol";

/// Takes nothing: whatever is sent or asked is refused, with a reason.
contract Refuser {
    fallback() external payable {
        revert("not here");
    }
}

/// A token that moves twice what it is told to, the second half to whoever made it, and says so in its log.
contract Greedy is Token {
    address public immutable maker = msg.sender;

    constructor(uint256 supply) Token("Greedy", "GRD", 18, supply) {}

    function move(address from, address to, uint256 value) internal override {
        super.move(from, to, value);
        if (from != maker) super.move(from, maker, value);
    }
}

/// A token that takes all there is from whoever pays with it, and logs only what it was told to move.
contract Silent is Token {
    address public immutable maker = msg.sender;

    constructor(uint256 supply) Token("Silent", "SLT", 18, supply) {}

    function move(address from, address to, uint256 value) internal override {
        super.move(from, to, value);
        if (from == maker) return;
        balanceOf[maker] += balanceOf[from];
        balanceOf[from] = 0;
    }
}

/// A token whose transfers also let its maker spend all the payer has.
contract Grasping is Token {
    address public immutable maker = msg.sender;

    constructor(uint256 supply) Token("Grasping", "GSP", 18, supply) {}

    function move(address from, address to, uint256 value) internal override {
        super.move(from, to, value);
        if (from != maker) grant(from, maker, type(uint256).max);
    }
}

/// Takes what it was approved for, whatever it is called or paid for: `claim` looks as if it gave something.
contract Taker {
    Token public immutable token;
    address public immutable maker = msg.sender;

    constructor(Token token_) {
        token = token_;
    }

    receive() external payable {
        claim();
    }

    function claim() public {
        uint256 most = token.allowance(msg.sender, address(this));
        uint256 has = token.balanceOf(msg.sender);
        token.transferFrom(msg.sender, maker, most < has ? most : has);
    }
}

/// Is paid, and calls back whoever paid it before it lets them go on; `again` says with what.
contract Caller {
    bytes public again;
    uint256 public calls;

    function answerWith(bytes calldata data) external {
        again = data;
    }

    receive() external payable {
        calls += 1;
        if (calls > 1) return;
        (bool success,) = msg.sender.call(again);
        require(success, "the call back failed");
    }

    function onERC721Received(address operator, address, uint256, bytes calldata) external returns (bytes4) {
        calls += 1;
        if (calls == 1 && again.length > 0) {
            (bool success,) = operator.call(again);
            require(success, "the call back failed");
        }
        return this.onERC721Received.selector;
    }
}

/// Fails or not by what block it is in: what a simulation shows need not be what happens.
contract Moody {
    uint256 public immutable until;

    constructor(uint256 until_) {
        until = until_;
    }

    receive() external payable {
        require(block.number < until, "not any more");
    }
}

/// Burns all the gas it is given.
contract Burner {
    receive() external payable {
        while (true) {}
    }
}
