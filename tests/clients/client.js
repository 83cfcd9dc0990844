// The Node client: the model that was read is put back whole.
const assert = require('node:assert');
const okta = require('@okta/okta-sdk-nodejs');
const client = new okta.Client({ orgUrl: process.env.ORG, token: process.env.TOKEN });
const api = client.inlineHookApi;
const type = 'com.okta.telephony.provider';
const inlineHook = {
  name: 'by node', type, version: '1.0.0',
  channel: {
    type: 'HTTP', version: '1.0.0',
    config: {
      uri: 'https://otp.example.com/hook', method: 'POST', headers: [{ key: 'Field 1', value: 'Value 1' }],
      authScheme: { type: 'HEADER', key: 'Authorization', value: 'Basic eDp5' },
    },
  },
};
const all = async (pages) => {
  const found = [];
  await (await pages).each((one) => { found.push(one); });
  return found;
};
(async () => {
  const { id: inlineHookId } = await api.createInlineHook({ inlineHook });
  assert.deepEqual((await all(api.listInlineHooks({ type }))).map((hook) => hook.id), [inlineHookId]);
  const read = await api.getInlineHook({ inlineHookId });
  read.name = 'by node, renamed';
  assert.equal((await api.replaceInlineHook({ inlineHookId, inlineHook: read })).name, read.name);
  assert.equal((await api.deactivateInlineHook({ inlineHookId })).status, 'INACTIVE');
  assert.equal((await api.activateInlineHook({ inlineHookId })).status, 'ACTIVE');
  await api.deactivateInlineHook({ inlineHookId });
  await api.deleteInlineHook({ inlineHookId });
  await assert.rejects(api.getInlineHook({ inlineHookId }), (error) => error.status === 404);
  const until = new Date(Date.now() + 1000).toISOString();
  const events = await all(client.systemLogApi.listLogEvents({ filter: 'eventType sw "inline_hook"', limit: 2, until }));
  assert(events.length > 2, 'more than one page');
})().catch((error) => { console.error(error); process.exit(1); });
