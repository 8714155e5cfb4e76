// Logs in at a gateway with a fresh wallet and registers an OpenPGP key, as a page in a browser would: the armored
// public key in FILE, or one that OpenPGP.js makes, which then shows that it is the page's. Prints the key, the gateway's answer and the profile.
//   node register_key.cjs ORIGIN CHAIN_ID [FILE]
const fs = require("node:fs");
const { generatePrivateKey, privateKeyToAccount } = require("viem/accounts");
const { createSiweMessage } = require("viem/siwe");
const openpgp = require("openpgp");

const [, , origin, chainId, file] = process.argv;

async function call(method, path, body, accessToken) {
  const headers = { "content-type": "application/json" };
  if (accessToken) headers.authorization = `Bearer ${accessToken}`;
  const response = await fetch(origin + path, { method, headers, body: body && JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

async function logIn(wallet) {
  const { nonce } = await call("POST", "/auth/siwe/nonce", {});
  const domain = new URL(origin).host;
  const fields = { domain, address: wallet.address, uri: origin, version: "1", chainId: Number(chainId), nonce };
  const message = createSiweMessage(fields);
  const signature = await wallet.signMessage({ message });
  return (await call("POST", "/auth/siwe/verify", { message, signature })).accessToken;
}

// The OpenPGP key signs for whom it is meant, and where.
async function possession(wallet, fingerprint, armoredKey) {
  const text = `gateway-core-openpgp-v1 ${origin} ${wallet.address} ${fingerprint}`;
  const signingKeys = await openpgp.readPrivateKey({ armoredKey });
  return openpgp.sign({ message: await openpgp.createMessage({ text }), signingKeys, detached: true });
}

async function main() {
  const wallet = privateKeyToAccount(generatePrivateKey());
  const made = file ? undefined : await openpgp.generateKey({ userIDs: [{ name: wallet.address }] });
  const pgpPublicKey = file ? fs.readFileSync(file, "utf8") : made.publicKey;
  const fingerprint = (await openpgp.readKey({ armoredKey: pgpPublicKey })).getFingerprint().toUpperCase();
  const accessToken = await logIn(wallet);
  const signature = await wallet.signMessage({ message: pgpPublicKey });
  const body = { signature, pgpPublicKey };
  if (made) body.pgpSignature = await possession(wallet, fingerprint, made.privateKey);
  const registration = await call("POST", "/user-api-keys/register", body, accessToken);
  const profile = await call("GET", "/user-api-keys/profile", undefined, accessToken);
  console.log(JSON.stringify({ fingerprint, pgpPublicKey, registration, profile }, null, 2));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
