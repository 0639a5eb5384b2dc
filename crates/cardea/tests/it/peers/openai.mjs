// OpenAI's own client for JavaScript talks to an agent. In the environment: BASE, TOKEN.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.BASE}/v1`, apiKey: process.env.TOKEN, maxRetries: 0 });
const messages = [{ role: "user", content: "What is the status of order 17?" }];
const whole = await client.chat.completions.create({ model: "agent/support", messages });
assert.match(whole.choices[0].message.content, /delivered/);

const runner = client.chat.completions.stream({ model: "agent/support", messages });
let deltas = "";
runner.on("content", (delta) => (deltas += delta));
assert.equal((await runner.finalChatCompletion()).choices[0].message.content, deltas);

await assert.rejects(client.chat.completions.create({ model: "agent/nobody", messages }), OpenAI.NotFoundError);
const stranger = new OpenAI({ baseURL: `${process.env.BASE}/v1`, apiKey: "nonsense", maxRetries: 0 });
await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
console.log("good");
