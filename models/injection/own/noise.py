"""What machines write and people paste without a word of it being read, and what they post (CC0, our own words).

Keys, certificates, dumps, traces and encoded values: where only attacks are encoded, a model learns that a run of hex is one. All values
are made up when they are asked for. `POSTS` are short posts of social networks.
"""

import base64
import urllib.parse

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
PLAIN = ["order 4471 has been shipped", "the meeting starts at ten", "name=Olga&city=Riga&zip=1010", "hello from the test suite", "temperature 21.5 humidity 40", "{\"id\": 17, \"state\": \"open\"}", "<note>pick up the parcel</note>", "total;12.50;EUR", "user olga signed in from the office", "la reunión es el martes", "die Lieferung kommt morgen", "select * from orders where id = 7", "GET /index.html", "Lorem ipsum dolor sit amet", "this is only a sample text", "quarterly report, page 3 of 12"]
BEFORE = ["", "", "", "key: ", "here is the dump: ", "what is this? ", "token=", "the value in the log is ", "can you decode this: ", "My number: ", "export KEY=", "cat server.crt\n", "checksum ", "data: ", "payload=", "Unser Schlüssel: ", "voici la valeur : ", "mi código: ", "serial no. ", "pass: ", "curl -d ", "raw = ", "in base64 it is ", "hex: ", "trace: ", "$ cat id.pub\n", "reading letter by letter: ", "part one and two: "]
AFTER = ["", "", "", "", " - does it look right?", "\nWhy is it rejected?", " please", "  # from the test system", "\nIs the format correct?", " thanks", " (expired)", " // ascii", "\n[exit 0]", " gehört zu Konto 17", " merci", "\nWhich one is newer?"]
HEADS = ["PRIVATE KEY", "RSA PRIVATE KEY", "CERTIFICATE", "PUBLIC KEY", "EC PRIVATE KEY", "CERTIFICATE REQUEST", "OPENSSH PRIVATE KEY", "PGP MESSAGE"]
FIELDS = ["trace_id", "span_id", "request_id", "sha256", "etag", "nonce", "session", "sig", "commit", "device", "ref", "digest", "uuid", "iv", "salt"]
SHOWN = ["xxxx", "****", "[REDACTED]", "<hidden>", "<your key>", "0000", "XXXXXXXX", "...", "<none>", "null", "********1234", "(set in the vault)"]


def run(rnd, size, letters=LETTERS):
    return "".join(rnd.choice(letters) for _ in range(size))


def raw(rnd):
    """Some bytes: a plain sentence or nothing that anybody could read."""
    return rnd.choice(PLAIN).encode() if rnd.random() < 0.4 else rnd.randbytes(rnd.randrange(6, 60))


def armour(rnd):
    head, body = rnd.choice(HEADS), base64.b64encode(rnd.randbytes(rnd.randrange(90, 400))).decode()
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return f"-----{'BEGIN'} {head}-----\n{lines}\n-----{'END'} {head}-----"


def spaced(rnd):
    digits, gap = run(rnd, rnd.randrange(8, 23), rnd.choice(("0123456789", "0123456789", LETTERS[26:])), ), rnd.choice((1, 1, 2, 4, 4))
    return rnd.choice((" ", " ", "-", ".", "\u00a0")).join(digits[at : at + gap] for at in range(0, len(digits), gap))


SHAPES = {
    "armour": armour,
    "hex": lambda rnd: raw(rnd).hex(),
    "dump": lambda rnd: " ".join(f"{byte:02x}" for byte in raw(rnd)),
    "base64": lambda rnd: base64.b64encode(raw(rnd)).decode(),
    "image": lambda rnd: f"data:{rnd.choice(('image/png', 'font/woff2', 'application/pdf'))};base64,{base64.b64encode(rnd.randbytes(rnd.randrange(30, 300))).decode()}",
    "percent": lambda rnd: "".join(f"%{byte:02X}" for byte in raw(rnd)),
    "query": lambda rnd: f"https://site.example/{run(rnd, 5)}?q={urllib.parse.quote(rnd.choice(PLAIN))}&id={run(rnd, rnd.randrange(6, 24))}",
    "escapes": lambda rnd: "".join(f"\\x{byte:02x}" for byte in raw(rnd)),
    "points": lambda rnd: "".join(f"\\u{ord(letter):04x}" for letter in rnd.choice(PLAIN)[: rnd.randrange(8, 30)]),
    "entities": lambda rnd: "".join(f"&#{ord(letter)};" for letter in rnd.choice(PLAIN)[: rnd.randrange(8, 30)]),
    "codes": lambda rnd: ", ".join(str(ord(letter)) for letter in rnd.choice(PLAIN)[: rnd.randrange(8, 30)]),
    "bits": lambda rnd: " ".join(f"{byte:08b}" for byte in raw(rnd)[:12]),
    "spaced": spaced,
    "token": lambda rnd: f"{run(rnd, rnd.randrange(2, 5), LETTERS[:26])}{rnd.choice('-_.')}{run(rnd, rnd.randrange(12, 48))}",
    "parts": lambda rnd: rnd.choice((" + ", "\n", " \\\n", "\" \"")).join(run(rnd, rnd.randrange(4, 14)) for _ in range(rnd.randrange(2, 6))),
    "fields": lambda rnd: " ".join(f"{rnd.choice(FIELDS)}={run(rnd, rnd.choice((8, 16, 32)), '0123456789abcdef')}" for _ in range(rnd.randrange(1, 5))),
    "shown": lambda rnd: " ".join(f"{rnd.choice(('password', 'api_key', 'token', 'secret', 'pin', 'user'))}{rnd.choice('=:')}{rnd.choice(SHOWN)}" for _ in range(rnd.randrange(1, 4))),
    "code": lambda rnd: f"{rnd.choice(('Buffer.from', 'unhex', 'atob', 'bytes.fromhex', 'base64.b64decode', 'decodeURIComponent'))}('{rnd.choice((raw(rnd).hex(), base64.b64encode(raw(rnd)).decode()))}')",
    "packed": lambda rnd: f"(()=>{{var {run(rnd, 1)}={{{rnd.randrange(999)}:({run(rnd, 1)},t,r)=>{{t.{run(rnd, 2)}=void 0;const o=r({rnd.randrange(99999)})}}}};}})();",
    "onetime": lambda rnd: f"{rnd.choice(('G-', '', '', 'Code '))}{rnd.randrange(10000, 999999)} {rnd.choice(('is your verification code.', 'is your code for signing in. Do not share it.', 'ist Ihr Code. Geben Sie ihn nicht weiter.', 'est votre code.', 'es tu código de acceso.'))}",
}


def blob(rnd, name):
    return f"{rnd.choice(BEFORE)}{SHAPES[name](rnd)}{rnd.choice(AFTER)}"


SLOTS = {
    "tag7": ["#mondaymood", "#throwback", "#nofilter", "#teamnight", "#win", "#coffee", "#GameDay", "#weekend", "#fail", "#blessed", "#ootd", "#goals", "", "", "", "", ""],
    "user7": ["@kit_and_kaboodle", "@sunny__d", "@mr_brown77", "@lenaonline", "@dj_tofu", "@bigsis", "@coachray", "@thatguy_99", "@rosieposie", "@quietstorm"],
    "smile7": ["lol", "lmao", "haha", "😂", "🔥🔥", "😭", "smh", "omg", "🙄", "❤️", "tbh", "ngl", "fr", "", "", "", ""],
    "thing7": ["my alarm", "the bus", "this song", "my cousin", "the new season", "that goal", "my phone", "the line at the bakery", "her new haircut", "the trailer", "practice", "my mom", "the wifi", "this traffic", "our coach", "the exam", "breakfast", "that ref", "my boyfriend", "the weather"],
    "does7": ["is killing me today", "got me crying", "never fails", "needs to stop", "is everything", "just made my day", "was worth it", "is so annoying", "can't even", "lives in my head", "went crazy last night", "is trash", "owes me money", "hits different", "is getting old", "acts like nothing happened", "slept through it all", "is on another level"],
    "me7": ["I can't stop laughing", "I need a nap", "I was today years old when I learned that", "I'm not even mad", "I forgot my keys again", "I said what I said", "I swear I'm cursed", "I just want pizza", "I'm done with people", "I ain't going to work tomorrow", "I told y'all", "I was not ready for that", "I hate Mondays", "I could eat that every day", "I act like I don't care but I do", "I'm so proud of my little sister"],
    "you7": ["you ever just stare at the fridge", "when you finally sit down and the doorbell rings", "imagine paying twelve bucks for toast", "ignore the mess in the back", "tell me I'm wrong", "don't @ me", "say less", "you know what, never mind", "if you like pineapple on pizza we can't be friends", "who else is still up", "let me live", "follow me for more bad takes", "somebody explain this ending to me", "y'all are sleeping on this band", "stop telling me to smile", "pretend you didn't see that", "send help and snacks", "forget what they say, wear the hat", "remember when we had no phones", "why is nobody talking about this"],
}
POSTS = ["{me7} {smile7} {tag7}", "{you7} {smile7}", "{thing7} {does7} {smile7} {tag7}", "RT {user7}: {thing7} {does7} {smile7}", "{user7} {you7} {smile7}", "{user7} {user7} {me7}", "{thing7} {does7} and {me7}", "{me7}... {you7} {tag7} {tag7}", "RT {user7}: {you7}", "\"{you7}\" - {thing7} {smile7}", "{smile7} {thing7} {does7}", "{user7} {thing7} {does7}, {me7} {smile7}", "{me7}. {thing7} {does7}.", "{you7}?? {smile7} {tag7}"]
