import assert from 'node:assert/strict';
import test from 'node:test';

import { parse, schema } from '../src/settings.js';

const fields = (document) => parse(JSON.stringify(document)).problems.map((problem) => problem.field);
const on = (listed) => ({ chains: { 'eip155:1': listed } });

test('accepts the examples of its own schema', () => {
  for (const example of schema.examples) assert.deepEqual(fields(example), []);
});

test('names each field that is wrong', () => {
  assert.deepEqual(fields([]), ['']);
  assert.deepEqual(fields({}), ['chains']);
  assert.deepEqual(fields({ chains: {} }), ['chains']);
  assert.deepEqual(fields({ ...on({}), otherwise: 'approve' }), ['otherwise']);
  assert.deepEqual(fields({ ...on({}), fallback: 1 }), ['fallback']);
  assert.deepEqual(fields({ chains: { ethereum: {} } }), ['chains.ethereum']);
  assert.deepEqual(fields(on([])), ['chains.eip155:1']);
  assert.deepEqual(fields(on({ recipients: [] })), ['chains.eip155:1.recipients']);
  assert.deepEqual(fields(on({ tokens: { '0xAB': 'x' } })), ['chains.eip155:1.tokens.0xAB']);
  assert.deepEqual(fields(on({ unlimitedApprovals: 'yes' })), ['chains.eip155:1.unlimitedApprovals']);
  const address = '0x00000000000000000000000000000000000000bb';
  for (const name of ['', 7, 'x'.repeat(65)]) {
    assert.deepEqual(fields(on({ spenders: { [address]: name } })), [`chains.eip155:1.spenders.${address}`]);
  }
});

test('tells what is no JSON without the words of the engine', () => {
  assert.deepEqual(parse('{').problems, [{ field: '', rule: 'must be a JSON object' }]);
});

test('does not take inherited names for listed ones', () => {
  const { settings } = parse(JSON.stringify(on({})));
  assert.equal(settings.chains.get('constructor'), undefined);
});

test('reports no more problems than a host takes', () => {
  const unknown = Object.fromEntries(Array.from({ length: 40 }, (_, number) => [`field${number}`, 1]));
  assert.equal(fields({ ...on({}), ...unknown }).length, 16);
});
