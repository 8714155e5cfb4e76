// Allowlist lets transactions go to the recipients that its settings list for their chain, and to nobody else.

import { get } from 'countersign:policy/settings@1.0.0';

import { judge } from './judge.js';
import { parse, schema } from './settings.js';

export const policy = {
  describe() {
    return {
      name: 'allowlist',
      version: '0.1.0',
      summary: 'Lets transactions go to listed recipients, and to nobody else.',
      settingsSchema: JSON.stringify(schema),
    };
  },

  validateSettings(text) {
    const { problems } = parse(text);
    if (problems.length > 0) throw problems;
  },

  evaluate(verified) {
    const { settings, problems } = parse(get());
    if (problems.length > 0) throw `bad settings: \`${problems[0].field}\` ${problems[0].rule}`;
    return judge(settings, verified);
  },
};
