"""Models behind three wire formats answer alike. Arguments: the address, a token."""
import json
import sys
import openai

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key=sys.argv[2], max_retries=0)
TEXT = "Hello from a foreign server. It speaks in small pieces, \u00e4\u00f6\u00fc \U0001f389 and ends."
weather = [{"type": "function", "function": {"name": "weather", "description": "The weather of a city.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
greeting = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}]

for model in ["openai-wire", "anthropic-wire", "gemini-wire"]:
    whole = client.chat.completions.create(model=model, messages=greeting, temperature=0.5, max_tokens=100)
    assert whole.choices[0].message.content == TEXT, (model, whole)
    assert whole.usage.total_tokens > 0, (model, "a server that counts nothing is not free")
    pieces = list(client.chat.completions.create(model=model, messages=greeting, stream=True))
    said = [piece.choices[0].delta.content for piece in pieces if piece.choices and piece.choices[0].delta.content]
    assert len(said) > 1 and "".join(said) == TEXT, (model, said)

    ask = [{"role": "user", "content": "weather in Riga?"}]
    wish = client.chat.completions.create(model=model, messages=ask, tools=weather, tool_choice="required")
    call = wish.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Riga"}), (model, wish)
    ask += [wish.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    told = client.chat.completions.create(model=model, messages=ask, tools=weather)
    assert told.choices[0].message.content == "It rains in Riga.", (model, told)

    try:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "words that nobody expects"}])
        raise AssertionError(f"{model} answered what it does not know")
    except openai.APIStatusError as error:
        assert (error.status_code, error.code) == (502, "model_failed"), (model, error)
print("good")
