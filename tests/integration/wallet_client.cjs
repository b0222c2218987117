// An ordinary ethers program: it pays, is refused, tries to deploy, and listens for blocks and logs. It prints what it
// saw, and beside it what ethers makes of a real node's own refusals.
"use strict";

const { ContractFactory, JsonRpcProvider, Wallet, WebSocketProvider, parseEther } = require("ethers");

const { WEB3_PROVIDER_URI, WEB3_WS_PROVIDER_URI, NODE_URI, PAYEE, STRANGER, LOGGER } = process.env;

function failure(promise) {
  return promise.then(
    () => null,
    (error) => {
      const said = error.error ?? error.info?.error ?? {};
      return { kind: error.code, code: said.code, message: said.message, data: said.data };
    },
  );
}

async function main() {
  const http = new JsonRpcProvider(WEB3_PROVIDER_URI);
  const live = new WebSocketProvider(WEB3_WS_PROVIDER_URI);
  const seen = { chain: Number((await http.getNetwork()).chainId), liveChain: Number((await live.getNetwork()).chainId) };
  const signer = await http.getSigner();
  seen.address = await signer.getAddress();
  seen.balance = String(await http.getBalance(seen.address));

  const block = new Promise((resolve) => live.on("block", resolve));
  await live.getBlockNumber();
  const sent = await signer.sendTransaction({ to: PAYEE, value: parseEther("0.01") });
  const receipt = await sent.wait();
  seen.mined = { block: receipt.blockNumber, status: receipt.status };
  seen.block = await block;

  const node = new JsonRpcProvider(NODE_URI);
  const logged = new Promise((resolve) => live.on({ address: LOGGER }, resolve));
  await live.getBlockNumber();
  await (await (await node.getSigner(0)).sendTransaction({ to: LOGGER })).wait();
  seen.logged = (await logged).topics;

  seen.stranger = await failure(signer.sendTransaction({ to: STRANGER, value: 1n }));
  const stray = Wallet.createRandom();
  const raw = await stray.signTransaction({ chainId: seen.chain, nonce: 0, to: PAYEE, value: 1n, gasLimit: 21000n, maxFeePerGas: 1n, maxPriorityFeePerGas: 1n, type: 2 });
  seen.foreign = await failure(http.broadcastTransaction(raw));
  const factory = new ContractFactory([], "0x600b380380600b5f395ff300", signer);
  seen.deploy = await failure(factory.deploy({ gasLimit: 100_000 }));
  seen.unknown = await failure(http.send("anvil_setBalance", [seen.address, "0xffff"]));
  seen.nodes_own = await failure(node.send("eth_sendTransaction", [{ from: stray.address, to: PAYEE, value: "0x1" }]));
  node.destroy();
  http.destroy();
  await live.destroy();
  console.log(JSON.stringify(seen));
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
