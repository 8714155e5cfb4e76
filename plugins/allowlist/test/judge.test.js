import assert from 'node:assert/strict';
import test from 'node:test';

import { judge } from '../src/judge.js';
import { parse } from '../src/settings.js';

const TREASURY = '0x00000000000000000000000000000000000000bb';
const EXCHANGE = '0x00000000000000000000000000000000000000ee';
const STRANGER = '0x00000000000000000000000000000000000000cc';
const TOKEN = '0x00000000000000000000000000000000000000dd';
const UNLIMITED = (2n ** 256n - 1n).toString();

const listed = {
  recipients: { [TREASURY]: 'Treasury' },
  tokens: { [TOKEN]: 'USDX' },
  spenders: { [EXCHANGE]: 'Exchange' },
};

function settings(changes = {}, otherwise = 'reject') {
  const parsed = parse(JSON.stringify({ chains: { 'eip155:1': { ...listed, ...changes } }, otherwise }));
  assert.deepEqual(parsed.problems, []);
  return parsed.settings;
}

function coin(recipient, changes = {}) {
  return { chain: 'eip155:1', recipient, value: '5', data: new Uint8Array(), call: undefined, ...changes };
}

function call(signature, values, changes = {}) {
  const args = values.map((value) => ({ name: '', kind: '', value }));
  const decoded = { selector: '0x01020304', function: signature, arguments: args };
  return coin(TOKEN, { value: '0', data: new Uint8Array(68), call: decoded, ...changes });
}

const allowed = [
  ['the coin to a listed recipient', coin(TREASURY), 'listed_recipient'],
  ['a token to a listed recipient', call('transfer(address,uint256)', [TREASURY, '7']), 'listed_recipient'],
  ['a token of others to a listed recipient',
    call('transferFrom(address,address,uint256)', [STRANGER, TREASURY, '7']), 'listed_recipient'],
  ['an approval of a listed spender', call('approve(address,uint256)', [EXCHANGE, '7']), 'listed_spender'],
  ['the end of an approval of a stranger', call('approve(address,uint256)', [STRANGER, '0']), 'allowance_lessened'],
  ['less of an approval of a stranger',
    call('decreaseAllowance(address,uint256)', [STRANGER, '7']), 'allowance_lessened'],
];

const denied = [
  ['the coin to a stranger', coin(STRANGER), 'unlisted_recipient'],
  ['the coin to a token contract', coin(TOKEN), 'unlisted_recipient'],
  ['another chain', coin(TREASURY, { chain: 'eip155:10' }), 'unlisted_chain'],
  ['a new contract', coin(undefined, { data: new Uint8Array(9) }), 'contract_creation'],
  ['data to a listed recipient', coin(TREASURY, { data: new Uint8Array(4) }), 'unlisted_contract'],
  ['a token to a stranger', call('transfer(address,uint256)', [STRANGER, '7']), 'unlisted_recipient'],
  ['a token of a listed owner to a stranger',
    call('transferFrom(address,address,uint256)', [TREASURY, STRANGER, '7']), 'unlisted_recipient'],
  ['a token that is not listed',
    call('transfer(address,uint256)', [TREASURY, '7'], { recipient: STRANGER }), 'unlisted_contract'],
  ['an approval of a recipient', call('approve(address,uint256)', [TREASURY, '7']), 'unlisted_spender'],
  ...[256n, 255n, 160n, 96n].map((bits) => [
    `an approval without limit of ${bits} bits`,
    call('approve(address,uint256)', [EXCHANGE, (2n ** bits - (bits === 255n ? 0n : 1n)).toString()]),
    'unlimited_approval',
  ]),
  ['a coin along with a token', call('transfer(address,uint256)', [TREASURY, '7'], { value: '1' }), 'coin_to_token'],
  ['another function of a token', call('increaseAllowance(address,uint256)', [EXCHANGE, '7']), 'unlisted_function'],
  ['a call that the host cannot decode', call(undefined, []), 'unlisted_function'],
  ['data that is too short for a call', call(undefined, [], { call: undefined }), 'unlisted_function'],
];

for (const [what, verified, code] of allowed) {
  test(`approves ${what}`, () => {
    const outcome = judge(settings(), verified);
    assert.deepEqual([outcome.verdict.tag, outcome.reasonCode], ['approve', code]);
  });
}

for (const [what, verified, code] of denied) {
  test(`rejects ${what}, or abstains where that is asked for`, () => {
    const outcome = judge(settings(), verified);
    assert.deepEqual([outcome.verdict.tag, outcome.reasonCode], ['reject', code]);
    assert.equal(judge(settings({}, 'abstain'), verified).verdict.tag, 'abstain');
  });
}

test('approves an approval without limit where the chain allows it', () => {
  const outcome = judge(settings({ unlimitedApprovals: true }), call('approve(address,uint256)', [EXCHANGE, UNLIMITED]));
  assert.equal(outcome.verdict.tag, 'approve');
});

test('names people and amounts in its analysis', () => {
  const outcome = judge(settings(), call('transfer(address,uint256)', [TREASURY, '7']));
  assert.equal(outcome.analysis, 'Sends 7 base units of USDX to Treasury.');
  assert.deepEqual(outcome.evidence.at(-1), ['amount', '7']);
});
