// The rules. Everything rests on `verified`, which the host decoded from the bytes that will be signed.

const CERTAIN = 1_000_000;
// At least half of all that a word can say, or the maximum of tokens that count in 96 or 160 bits.
const isUnlimited = (amount) => amount >= 2n ** 255n || amount === 2n ** 160n - 1n || amount === 2n ** 96n - 1n;

/** The outcome for a transaction under settings as `parse` gives them. */
export function judge(settings, verified) {
  const listed = settings.chains.get(verified.chain);
  const finding = listed === undefined
    ? denied('unlisted_chain', `Nothing is allowed on ${verified.chain}.`)
    : examine(listed, verified);
  const verdict = finding.allowed ? 'approve' : settings.otherwise;
  return {
    verdict: { tag: verdict },
    reasonCode: finding.code,
    analysis: finding.analysis,
    confidencePpm: CERTAIN,
    evidence: [['chain', verified.chain], ...finding.evidence],
  };
}

function examine(listed, verified) {
  if (verified.recipient === undefined) return denied('contract_creation', 'The transaction creates a contract.');
  if (verified.data.length > 0) return examineCall(listed, verified);
  const name = listed.recipients.get(verified.recipient);
  const evidence = [['recipient', verified.recipient]];
  return name === undefined
    ? denied('unlisted_recipient', `The recipient ${verified.recipient} is not listed on ${verified.chain}.`, evidence)
    : allowed('listed_recipient', `Sends ${verified.value} base units of the coin to ${name}.`, evidence);
}

// A selector means what a token contract says, so calls are only read where the contract is listed.
function examineCall(listed, verified) {
  const token = listed.tokens.get(verified.recipient);
  const evidence = [['contract', verified.recipient]];
  if (token === undefined) {
    return denied('unlisted_contract', `The call goes to ${verified.recipient}, which is no listed token.`, evidence);
  }
  if (verified.value !== '0') {
    return denied('coin_to_token', `The call sends ${verified.value} base units of the coin to the token ${token}.`, evidence);
  }
  const values = verified.call?.arguments.map((argument) => argument.value) ?? [];
  switch (verified.call?.function) {
    case 'transfer(address,uint256)':
      return examineTransfer(listed, token, [values[0], values[1]], evidence);
    case 'transferFrom(address,address,uint256)':
      return examineTransfer(listed, token, [values[1], values[2]], evidence);
    case 'approve(address,uint256)':
      return examineApproval(listed, token, [values[0], values[1]], evidence);
    case 'decreaseAllowance(address,uint256)':
      return lessened(token, values[0], evidence);
    default: {
      const called = verified.call?.function ?? verified.call?.selector ?? 'data without a selector';
      return denied('unlisted_function', `The token ${token} is called with ${called}.`, evidence);
    }
  }
}

function examineTransfer(listed, token, [recipient, amount], evidence) {
  const name = listed.recipients.get(recipient);
  const found = [...evidence, ['tokenRecipient', recipient], ['amount', amount]];
  return name === undefined
    ? denied('unlisted_recipient', `The token ${token} would go to ${recipient}, which is not listed.`, found)
    : allowed('listed_recipient', `Sends ${amount} base units of ${token} to ${name}.`, found);
}

function examineApproval(listed, token, [spender, amount], evidence) {
  if (amount === '0') return lessened(token, spender, evidence);
  const name = listed.spenders.get(spender);
  const found = [...evidence, ['spender', spender], ['amount', amount]];
  if (name === undefined) {
    return denied('unlisted_spender', `${spender}, which is not listed, could spend ${token}.`, found);
  }
  if (isUnlimited(BigInt(amount)) && !listed.unlimitedApprovals) {
    return denied('unlimited_approval', `${name} could spend ${token} without limit.`, found);
  }
  return allowed('listed_spender', `Lets ${name} spend ${amount} base units of ${token}.`, found);
}

// Whoever once could spend, and is listed no more, must be stopped from it.
function lessened(token, spender, evidence) {
  return allowed('allowance_lessened', `Lets ${spender} spend less ${token}.`, [...evidence, ['spender', spender]]);
}

function allowed(code, analysis, evidence) {
  return { allowed: true, code, analysis, evidence };
}

function denied(code, analysis, evidence = []) {
  return { allowed: false, code, analysis, evidence };
}
