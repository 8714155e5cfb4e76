// Logs in at a gateway as a page in a browser would, with a fresh wallet, and prints the gateway's answer.
//   node log_in.cjs siwe|viem ORIGIN CHAIN_ID
const { generatePrivateKey, privateKeyToAccount } = require("viem/accounts");

const [, , library, origin, chainId] = process.argv;

async function post(path, body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(origin + path, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

function message(address, nonce) {
  const fields = {
    domain: new URL(origin).host,
    address,
    uri: origin + "/login?next=%2F#top",
    version: "1",
    chainId: Number(chainId),
    nonce,
  };
  if (library === "viem") {
    const resources = [origin + "/terms"];
    const expirationTime = new Date(Date.now() + 60_000);
    return require("viem/siwe").createSiweMessage({ ...fields, resources, expirationTime, scheme: "http" });
  }
  const { SiweMessage } = require("siwe");
  return new SiweMessage({ ...fields, statement: "Sign in, please.", requestId: "one" }).prepareMessage();
}

async function main() {
  const account = privateKeyToAccount(generatePrivateKey());
  const asked = library === "viem" ? {} : { ethereumAddress: account.address, chainId: Number(chainId) };
  const { nonce } = await post("/auth/siwe/nonce", asked);
  const text = message(account.address, nonce);
  const signature = await account.signMessage({ message: text });
  const tokens = await post("/auth/siwe/verify", { message: text, signature });
  if (tokens.user.ethereumAddress !== account.address) throw new Error("another user was logged in");
  console.log(JSON.stringify(tokens));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
