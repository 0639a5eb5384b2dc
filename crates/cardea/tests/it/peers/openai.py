"""OpenAI's own client for Python talks to an agent and to a model. Arguments: the address, a token."""
import sys
import openai

base, token = sys.argv[1] + "/v1", sys.argv[2]
client = openai.OpenAI(base_url=base, api_key=token, max_retries=0)
ask = [{"role": "user", "content": "What is the status of order 17?"}]
weather = {"type": "function", "function": {"name": "weather", "description": "The weather of a city.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}

names = [model.id for model in client.models.list()]
assert names == ["agent/support", "rehearsal"], names
assert client.models.retrieve("agent/support").id == "agent/support"

answer = client.chat.completions.with_raw_response.create(model="agent/support", messages=ask)
conversation = answer.headers["x-cardea-conversation"]
whole = answer.parse()
assert "delivered" in whole.choices[0].message.content, whole
assert whole.choices[0].finish_reason == "stop" and whole.usage.total_tokens > 0, whole

pieces = client.chat.completions.create(
    model="agent/support", stream=True, stream_options={"include_usage": True},
    messages=[{"role": "user", "content": "And who ordered it? Order 17."}],
    extra_headers={"X-Cardea-Conversation": conversation})
pieces = list(pieces)
text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
assert text and pieces[-1].usage is not None and pieces[-2].choices[0].finish_reason == "stop", pieces

calls = client.chat.completions.create(
    model="rehearsal", messages=[{"role": "user", "content": 'Tell me the weather of the city "Riga".'}],
    tools=[weather])
call = calls.choices[0].message.tool_calls[0]
assert (call.function.name, calls.choices[0].finish_reason) == ("weather", "tool_calls"), calls
with client.chat.completions.stream(
        model="rehearsal", messages=[{"role": "user", "content": 'Tell me the weather of the city "Riga".'}],
        tools=[weather]) as stream:
    for _ in stream:
        pass
    assert stream.get_final_completion().choices[0].message.tool_calls[0].function.arguments == call.function.arguments


def refused(kind, code, param=None, **changes):
    asked = {"model": "rehearsal", "messages": ask, **changes}
    try:
        client.chat.completions.create(**asked)
    except kind as error:
        assert (error.code, error.param) == (code, param) and error.request_id, (error.code, error.param)
    else:
        raise AssertionError(f"{changes} was answered")


refused(openai.NotFoundError, "not_found", model="agent/nobody")
refused(openai.BadRequestError, "bad_request", "messages", messages=[])
refused(openai.BadRequestError, "bad_request", "n", n=2)
refused(openai.BadRequestError, "bad_request", "temperature", temperature=3)
refused(openai.BadRequestError, "bad_request", "tools", model="agent/support", tools=[weather])
refused(openai.BadRequestError, "bad_request", response_format={"type": "json_object"})
try:
    openai.OpenAI(base_url=base, api_key="nonsense", max_retries=0).models.list()
    raise AssertionError("a wrong token got in")
except openai.AuthenticationError as error:
    assert error.code == "token_invalid", error
print("good")
