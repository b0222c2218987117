// An ordinary ethers program with a token: it pays, approves, is refused, and hears what the token logs.
"use strict";

const { Contract, JsonRpcProvider, WebSocketProvider } = require("ethers");

const { WEB3_PROVIDER_URI, WEB3_WS_PROVIDER_URI, TOLD } = process.env;
const told = JSON.parse(TOLD);

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
  const signer = await http.getSigner();
  const address = await signer.getAddress();
  const token = new Contract(told.token, told.abi, signer);
  const seen = {};

  const heard = new Promise((resolve) => token.connect(live).on("Transfer", (...said) => resolve(said.slice(0, 3))));
  await live.getBlockNumber();
  seen.paid = (await (await token.transfer(told.payee, told.paid)).wait()).status;
  seen.heard = (await heard).map(String);
  seen.stranger = await failure(token.transfer(told.stranger, 1));
  seen.let = (await (await token.approve(told.router, told.let)).wait()).status;
  seen.allowance = String(await token.allowance(address, told.router));
  seen.over = await failure(token.approve(told.router, told.over));
  seen.unlisted = await failure(token.approve(told.token, 1));
  seen.reverts = await failure(token.transfer(told.payee, 10n ** 12n));
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
