// A hook server shaped like Okta's own sample: Express, basic authentication, one provider, one message for each call.
// It sends by axios with kept connections, as the sample's SDK does inside; the SDK's own work is left out.
"use strict";
const fs = require("node:fs");
const https = require("node:https");
const axios = require("axios");
const express = require("express");
const basicAuth = require("express-basic-auth");

const { LISTEN_PORT, TLS_CERT, TLS_KEY, PROVIDER_URL, PROVIDER_CA, PROVIDER_TOKEN, HOOK_USER, HOOK_PASSWORD } = process.env;

const provider = axios.create({
  httpsAgent: new https.Agent({ keepAlive: true, ca: fs.readFileSync(PROVIDER_CA) }),
  proxy: false,
  headers: { authorization: `Bearer ${PROVIDER_TOKEN}` },
});

const app = express();
app.use(express.json());
app.use(basicAuth({ users: { [HOOK_USER]: HOOK_PASSWORD } }));

app.post("/hooks/h", async (request, response) => {
  const { phoneNumber, msgTemplate, deliveryChannel } = request.body.data.messageProfile;
  try {
    const { data } = await provider.post(PROVIDER_URL, {
      messageId: request.body.eventId,
      channel: deliveryChannel.toLowerCase(),
      to: phoneNumber,
      text: msgTemplate,
    });
    response.json({
      commands: [
        {
          type: "com.okta.telephony.action",
          value: [{ status: "SUCCESSFUL", provider: "mock", transactionId: data.id, transactionMetadata: "" }],
        },
      ],
    });
  } catch (error) {
    response.status(400).json({ error: { errorSummary: "the message was not sent", errorCauses: [{ reason: error.code }] } });
  }
});

https
  .createServer({ cert: fs.readFileSync(TLS_CERT), key: fs.readFileSync(TLS_KEY), keepAliveTimeout: 75_000 }, app)
  .listen(Number(LISTEN_PORT), "127.0.0.1");
