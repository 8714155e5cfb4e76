// Compiles one contract as README.md says, and prints ABI, bytecode and the code that lies on chain afterwards.
//   node compile.cjs SOURCE.sol
const fs = require("node:fs");
const path = require("node:path");
const solc = require("solc");

const [, , file] = process.argv;
const name = path.basename(file, ".sol");
const told = solc.compile(
  JSON.stringify({
    language: "Solidity",
    sources: { [`${name}.sol`]: { content: fs.readFileSync(file, "utf8") } },
    settings: {
      optimizer: { enabled: true, runs: 200 },
      metadata: { bytecodeHash: "none", appendCBOR: false },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
    },
  }),
);
const { contracts, errors = [] } = JSON.parse(told);
const fatal = errors.filter((error) => error.severity === "error");
if (fatal.length > 0) {
  console.error(fatal.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}
const { abi, evm } = contracts[`${name}.sol`][name];
const code = { bytecode: `0x${evm.bytecode.object}`, deployedBytecode: `0x${evm.deployedBytecode.object}` };
console.log(JSON.stringify({ compiler: solc.version(), abi, ...code }));
