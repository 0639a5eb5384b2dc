"""Writes labelled texts for `guard eval`: personal data, credentials and look-alikes in the words of several languages and trades.

    python3 evals/guard-held.py > /tmp/held.jsonl

The sentences were written after the pattern table and apart from the set that it was tuned on. All values are random, with
right check digits, and belong to nobody. A row has `text`, `label` (pii, secret, none), `kind`, `source` and `spans`
(`start`, `end` in characters, `type`).
"""

import base64
import hashlib
import json
import random
import string

R = random.Random(20)
D = string.digits


def digits(count, first=D):
    return R.choice(first) + "".join(R.choice(D) for _ in range(count - 1))


def chars(count, of=string.ascii_letters + D):
    """Random characters, letters and digits among them."""
    while True:
        made = "".join(R.choice(of) for _ in range(count))
        if any(c.isdigit() for c in made) and any(c.isalpha() for c in made):
            return made


def luhn(body):
    total = sum((int(c) * (2 if i % 2 == 0 else 1) - (9 if i % 2 == 0 and int(c) > 4 else 0)) for i, c in enumerate(reversed(body)))
    return body + str(-total % 10)


def groups(text, sizes, joint):
    out, at = [], 0
    for size in sizes:
        out.append(text[at : at + size])
        at += size
    return joint.join(out)


def card():
    number = luhn(R.choice(["4" + digits(14), "5" + R.choice("12345") + digits(13), "37" + digits(12)]))
    if len(number) == 15:
        return R.choice([number, groups(number, (4, 6, 5), R.choice(" -"))])
    return R.choice([number, groups(number, (4, 4, 4, 4), R.choice([" ", "-", "."]))])


def iban():
    country, length = R.choice([("DE", 18), ("ES", 20), ("NL", 0), ("PL", 24), ("FR", 23), ("AT", 16), ("BE", 12), ("PT", 21), ("DK", 14), ("CH", 17)])
    body = "ABNA" + digits(10) if country == "NL" else digits(length)
    number = "".join(str(int(c, 36)) for c in body + country + "00")
    made = f"{country}{98 - int(number) % 97:02d}{body}"
    return R.choice([made, " ".join(made[i : i + 4] for i in range(0, len(made), 4))])


def weighted(body, weights, mod, turn):
    return turn(sum(int(c) * w for c, w in zip(body, weights)) % mod)


def cpf():
    body = digits(9)
    for start in (10, 11):
        body += str(weighted(body, range(start, 1, -1), 11, lambda r: 0 if r < 2 else 11 - r))
    return R.choice([body, f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"])


def pesel():
    body = f"{R.randint(50, 99)}{R.randint(1, 12):02d}{R.randint(1, 28):02d}{digits(4)}"
    return body + str(weighted(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3), 10, lambda r: -r % 10))


def dni():
    number = digits(8, "123456789")
    return number + R.choice(["", "-"]) + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def nino():
    made = R.choice("ABCEGHJKLMNPRSTWXYZ") + R.choice("ABCEGHJKLMPRSTWXYZ") + digits(6) + R.choice("ABCD")
    return made if made[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ") and made[0] not in "DFIQUV" else nino()


def nhs():
    body = digits(9, "4679")
    check = weighted(body, range(10, 1, -1), 11, lambda r: (11 - r) % 11)
    return groups(body + str(check), (3, 3, 4), R.choice([" ", "-", ""])) if check < 10 else nhs()


def sin():
    return groups(luhn(digits(8, "1234567")), (3, 3, 3), R.choice(" -"))


def pnr():
    body = f"{R.randint(40, 99)}{R.randint(1, 12):02d}{R.randint(1, 28):02d}{digits(3)}"
    made = luhn(body)
    return made[:6] + "-" + made[6:]


def ssn():
    return f"{R.choice([R.randint(1, 665), R.randint(667, 899)]):03d}-{R.randint(1, 99):02d}-{R.randint(1, 9999):04d}"


def bsn():
    body = digits(8, "12")
    check = sum(int(c) * w for c, w in zip(body, range(9, 1, -1))) % 11
    return body + str(check) if check < 10 else bsn()


def nir():
    body = f"{R.choice('12')}{R.randint(30, 99)}{R.randint(1, 12):02d}{R.randint(1, 95):02d}{digits(3)}{digits(3)}"
    made = f"{body}{97 - int(body) % 97:02d}"
    return R.choice([made, groups(made, (1, 2, 2, 2, 3, 3, 2), " ")])


def vin():
    table = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9]))
    body = [R.choice("WSV123JK")] + [R.choice("ABCDEFGHJKLMNPRSTUVWXYZ0123456789") for _ in range(16)]
    value = lambda c: int(c) if c.isdigit() else table[c]
    body[8] = "0"
    rest = sum(value(c) * w for c, w in zip(body, (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2))) % 11
    body[8] = "X" if rest == 10 else str(rest)
    return "".join(body)


def btc():
    raw = b"\x00" + bytes(R.randrange(256) for _ in range(20))
    raw += hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4]
    number, out = int.from_bytes(raw, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        out = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[rest] + out
    return "1" + out


def phone():
    return R.choice([f"+49 {R.choice(['30', '89', '171'])} {digits(7, '23456789')}", f"+33 {R.choice('167')} {digits(2)} {digits(2)} {digits(2)} {digits(2)}", f"+44 20 7{digits(3)} {digits(4)}", f"+1 ({R.randint(201, 989)}) {R.randint(200, 999)}-{digits(4)}",
                     f"+81 3-{digits(4, '3456')}-{digits(4)}", f"+91 9{digits(4)} {digits(5)}", f"+55 11 9{digits(4)}-{digits(4)}", f"({R.randint(201, 989)}) {R.randint(200, 999)}-{digits(4)}", f"+34 6{digits(2)} {digits(3)} {digits(3)}", f"+48 5{digits(2)} {digits(3)} {digits(3)}"])


def mail():
    return f"{R.choice(['lena', 'j.ortiz', 'marek_k', 'o.brien', 'yuki+news', 'dr-weber'])}{R.randint(1, 99)}@{R.choice(['mailbox.example', 'firma.example', 'kontor.example.org', 'uni.example.net'])}"


def date():
    return R.choice([f"{R.randint(1, 28):02d}.{R.randint(1, 12):02d}.{R.randint(1940, 2005)}", f"{R.randint(1940, 2005)}-{R.randint(1, 12):02d}-{R.randint(1, 28):02d}", f"{R.randint(1, 28)} {R.choice(['March', 'June', 'October'])} {R.randint(1940, 2005)}", f"{R.randint(1, 12):02d}/{R.randint(1, 28):02d}/{R.randint(1940, 2005)}"])


def steuer():
    while True:
        body = digits(10, "123456789")
        counts = sorted((body.count(c) for c in set(body)), reverse=True)
        if counts[0] in (2, 3) and counts[1:] == [1] * (len(counts) - 1):
            break
    product = 10
    for c in body:
        total = (int(c) + product) % 10 or 10
        product = total * 2 % 11
    made = body + str((11 - product) % 10)
    return R.choice([made, groups(made, (2, 3, 3, 3), " ")])


PII = {
    "CREDIT_CARD": (card, ["Bitte buchen Sie von {}, gültig bis 04/29.", "La carte {} a été refusée hier soir.", "Mi tarjeta es {} y el CVV ya lo tienes.", "card_no,{},Visa", "Pagamento con carta n. {} andato a buon fine", "PAN={};exp=1227", "支払いカード：{}", "she read it out: {}. I wrote it down"]),
    "IBAN": (iban, ["Überweisung an {} (Miete Mai)", "Virement vers {} effectué", "Rachunek: {}", "Pay the deposit to {} please.", "<iban>{}</iban>", "Conta para transferência: {}", "bankgegevens {} t.n.v. J. de Vries", "account_iban: \"{}\""]),
    "EMAIL": (mail, ["Schreib an {} wegen der Rechnung.", "Contact : {}", "cc {} and close it", "mailto:{}", "<{}> wrote:", "user={} status=active", "escríbeme a {}!", "reply-to {}; bounced"]),
    "PHONE": (phone, ["Ruf mich an: {}", "Mon numéro est le {}", "Tel.: {}", "llámame al {} por la tarde", "phone: {} (mobile)", "電話番号は {} です", "Dzwoń na {}.", "call me back on {} tonight"]),
    "US_SSN": (ssn, ["SSN on file {}", "her social is {}", "ssn={}", "Social Security no. {} (verified)", "\"ssn\": \"{}\"", "employee SSN: {}, start Monday"]),
    "UK_NINO": (nino, ["NI number {}", "National Insurance: {}", "nino {} checked by HR", "My NINO is {}.", "ni_no: {}"]),
    "UK_NHS": (nhs, ["NHS number {}", "NHS no. {} referred to cardiology", "patient nhs: {}", "NHS Number: {} / GP Dr Patel"]),
    "BR_CPF": (cpf, ["CPF {}", "Meu CPF é {}, pode conferir?", "cpf do titular: {}", "Cliente com CPF {} cadastrado", "{{\"cpf\": \"{}\"}}"]),
    "PL_PESEL": (pesel, ["PESEL {}", "numer PESEL pacjenta: {}", "Mój PESEL to {}.", "pesel={}"]),
    "ES_DNI": (dni, ["DNI {}", "con DNI número {}", "Mi DNI es {}.", "NIF: {}", "documento nacional de identidad {}"]),
    "CA_SIN": (sin, ["SIN {}", "Social insurance number: {}", "NAS : {}", "his SIN is {}"]),
    "SE_PNR": (pnr, ["personnummer {}", "Mitt personnummer är {}.", "pnr: {}", "Personnr {} (patient)"]),
    "NL_BSN": (bsn, ["BSN {}", "burgerservicenummer: {}", "Mijn BSN is {}.", "bsn={}"]),
    "FR_NIR": (nir, ["numéro de sécurité sociale {}", "NIR : {}", "Sécu {}", "n° de sécurité sociale : {}"]),
    "DE_STEUERID": (steuer, ["Steuer-ID {}", "Meine Steueridentifikationsnummer lautet {}.", "IdNr. {}", "Steuerliche Identifikationsnummer: {}"]),
    "VIN": (vin, ["VIN {}", "Fahrgestellnummer {}", "chassis no. {}", "Vehicle identification number: {}"]),
    "BTC": (btc, ["send it to {}", "BTC-Adresse: {}", "wallet {} got 0.3", "pago en bitcoin a {}"]),
    "ETH": (lambda: "0x" + chars(40, "0123456789abcdef"), ["wallet: {}", "ETH {}", "send 0.2 eth to {}", "owner={}"]),
    "IPV4": (lambda: ".".join(str(R.randint(11, 223)) for _ in range(4)), ["client {} connected", "from {} port 51234", "login von {} abgelehnt", "X-Forwarded-For: {}", "dirección IP {}"]),
    "MAC": (lambda: R.choice(":-").join(f"{R.randrange(256):02x}" for _ in range(6)), ["MAC {}", "ether {} txqueuelen 1000", "device {} joined", "adresse MAC : {}"]),
    "DOB": (date, ["born {}", "Geburtsdatum: {}", "date of birth {}", "né le {}", "fecha de nacimiento: {}", "DOB {}", "nata il {}", "ur. {}"]),
    "ADDRESS": (lambda: R.choice([f"{R.randint(2, 180)} {R.choice(['Oak', 'Station', 'Church', 'Maple'])} {R.choice(['Road', 'Street', 'Avenue', 'Lane'])}", f"{R.choice(['Goethestraße', 'Bahnhofstr.', 'Lindenweg'])} {R.randint(1, 99)}", f"{R.randint(1, 99)} rue {R.choice(['de la Paix', 'Victor Hugo'])}", f"Calle {R.choice(['Mayor', 'de Alcalá'])} {R.randint(1, 99)}", f"Via {R.choice(['Roma', 'Garibaldi'])} {R.randint(1, 99)}"]),
                ["Ship it to {} please.", "Adresse: {}", "I live at {} with my sister.", "Domicilio: {}", "Lieferung an {}, 2. Stock", "J'habite au {}."]),
    "PERSON": (lambda: f"{R.choice(['Lena', 'Marek', 'Aoife', 'Priya', 'Carlos', 'Yuki'])} {R.choice(['Schneider', 'Nowak', 'Murphy', 'Nair', 'Ortiz', 'Sato'])}", ["My name is {}.", "Ich heiße {}.", "Je m'appelle {}.", "Patient: {}", "me llamo {}", "Customer name: {}", "Mi chiamo {}.", "Dear {},"]),
}


def jwt():
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': chars(8), 'iat': 1712000000})}.{chars(43)}"


def pem():
    kind = R.choice(["RSA ", "EC ", "OPENSSH ", "", "ENCRYPTED "])
    body = "\n".join(chars(64) for _ in range(6))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


SAYS = ["here: {}", "export TOKEN={}", "the key is {} keep it", "key: '{}'", "Der Schlüssel lautet {} und gilt bis Mai", "-H 'Authorization: Bearer {}'", "config.set(\"{}\")", "voici la clé {}", "{} <- rotate this", "log: auth with {} failed", "la llave es {}", "KEY=\"{}\" ./run.sh"]
SECRETS = {
    "AWS_ACCESS_KEY_ID": (lambda: "AKIA" + chars(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), SAYS), "GITHUB_PAT": (lambda: "ghp_" + chars(36), SAYS), "GITHUB_FINE_GRAINED": (lambda: "github_pat_" + chars(22) + "_" + chars(59), SAYS), "GITLAB_PAT": (lambda: "glpat-" + chars(20), SAYS),
    "SLACK_BOT": (lambda: f"xoxb-{digits(12)}-{digits(12)}-{chars(24)}", SAYS), "STRIPE_LIVE": (lambda: "sk_live_" + chars(24), SAYS), "OPENAI_PROJECT": (lambda: "sk-proj-" + chars(74) + "T3BlbkFJ" + chars(74), SAYS), "ANTHROPIC": (lambda: "sk-ant-api03-" + chars(93) + "AA", SAYS),
    "GOOGLE_API": (lambda: "AIza" + chars(35), SAYS), "SENDGRID": (lambda: f"SG.{chars(22)}.{chars(43)}", SAYS), "NPM": (lambda: "npm_" + chars(36), SAYS), "HUGGINGFACE": (lambda: "hf_" + chars(34), SAYS), "JWT": (jwt, SAYS), "PRIVATE_KEY": (pem, ["{}", "id_rsa:\n{}\n", "bitte sichern:\n{}", "cat <<EOF\n{}\nEOF"]),
    "DIGITALOCEAN": (lambda: "dop_v1_" + chars(64, "0123456789abcdef"), SAYS), "SHOPIFY": (lambda: "shpat_" + chars(32, "0123456789abcdef"), SAYS), "TELEGRAM_BOT": (lambda: f"{digits(9, '123456789')}:AA{chars(33)}", SAYS), "LINEAR": (lambda: "lin_api_" + chars(40), SAYS), "DATABRICKS": (lambda: "dapi" + chars(32, "0123456789abcdef"), SAYS),
    "AWS_SECRET_ACCESS_KEY": (lambda: chars(40, string.ascii_letters + D + "+/"), ["aws_secret_access_key = {}", "AWS_SECRET_ACCESS_KEY={}", "secretAccessKey: '{}'", "\"SecretAccessKey\": \"{}\"", "aws secret key is {}"]),
    "PASSWORD_ASSIGN": (lambda: R.choice(["Winter", "hunter", "Kaffee", "Sonne"]) + R.choice("!#$%") + chars(6), ["password: {}", "Passwort: {}", "mot de passe : {}", "contraseña: {}", "DB_PASSWORD={}", "\"password\": \"{}\"", "pwd={};", "my password is {}", "--password={}", "Kennwort lautet {}", "senha: {}"]),
    "BASIC_AUTH_URL": (lambda: chars(14), ["postgres://app:{}@db.example:5432/main", "https://ci:{}@git.example/x.git", "mongodb+srv://root:{}@c0.example/?w=1", "redis://:{}@cache.example:6379/0", "amqp://svc:{}@mq.example"]),
    "GENERIC": (lambda: chars(32), ["api_key: {}", "client_secret={}", "X-Api-Key: {}", "\"access_token\": \"{}\"", "SECRET_KEY = '{}'", "auth_token => \"{}\"", "apiKey={}", "signing secret: {}"]),
}

NONE = [
    lambda: f"Version {R.randint(1, 9)}.{R.randint(0, 40)}.{R.randint(0, 40)}.{R.randint(0, 999)} behebt den Fehler.", lambda: f"ISBN 978-{digits(1)}-{digits(4)}-{digits(4)}-{digits(1)}", lambda: f"commit {chars(40, '0123456789abcdef')}", lambda: f"sha256:{chars(64, '0123456789abcdef')}",
    lambda: "id " + "-".join(chars(n, "0123456789abcdef") for n in (8, 4, 4, 4, 12)), lambda: f"Teilenummer {digits(3)}-{digits(4)}-{digits(2)}", lambda: f"Order #{digits(9, '123456789')} shipped on 2024-0{R.randint(1, 9)}-1{digits(1)}", lambda: f"Invoice {digits(4)}/{digits(5)}: 3 x 19.99 = 59.97", lambda: f"took {digits(6)} ms, {digits(8)} rows",
    lambda: f"x = [{', '.join(digits(4) for _ in range(6))}]", lambda: f"Fahrplan: {digits(2, '01')}:{digits(2, '012345')} ab Gleis {digits(1)}", lambda: "Ignore the skin, add 200 g of sugar and 3 eggs.", lambda: f"curl -s https://api.example/v{digits(1)}/items?page={digits(2)}", lambda: "password: ********", lambda: "The password must have 12 letters and a digit.",
    lambda: "api_key = os.environ['API_KEY']", lambda: "Authorization: Bearer <token>", lambda: "token = get_token(user)", lambda: f"UPC {digits(12)}", lambda: f"tracking 1Z{chars(16, string.ascii_uppercase + D)}", lambda: f"color: #{chars(6, '0123456789abcdef')};", lambda: f"{digits(4)} {digits(4)} Stimmen wurden gezählt", lambda: f"lat/lon grid {digits(2)} x {digits(2)}",
    lambda: f"flight LH{digits(3)} at gate B{digits(2)}", lambda: f"{digits(10, '1')} seconds since the epoch", lambda: f"ticket INC{digits(7)}", lambda: f"SKU {chars(8, string.ascii_uppercase + D)}", lambda: f"pi is 3.14159265358979{digits(3)}", lambda: "Our secret ingredient is love and butter.", lambda: "DOB stands for date of birth.", lambda: "The SSN field is required.",
    lambda: f"Chapter {digits(2)}, verse {digits(2)}", lambda: f"phone model {chars(6, string.ascii_uppercase + D)}", lambda: f"score {digits(3)}-{digits(2)}", lambda: "Main Street was busy on Monday.", lambda: "Dear customer, thank you for your order.", lambda: f"IMO {digits(7)} left port", lambda: f"{digits(3)}.{digits(3)}.{digits(3)} Einwohner", lambda: "const secret = process.env.SECRET;", lambda: "passwords: List[str] = []",
    lambda: f"etag \"{chars(32, '0123456789abcdef')}\"", lambda: f"nonce-{chars(22)}", lambda: f"integrity=\"sha384-{base64.b64encode(bytes(R.randrange(256) for _ in range(48))).decode()}\"", lambda: f"build {digits(8, '2')}.{digits(2)}", lambda: "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n" + bytes(R.randrange(256) for _ in range(60))).decode(),
    lambda: f"Artikel-Nr. {digits(8)}", lambda: f"réf. {chars(10, string.ascii_uppercase + D)}", lambda: f"Az. {digits(2)} O {digits(3)}/{digits(2)}", lambda: f"call me at {digits(1, '123456789')} pm", lambda: f"room {digits(3)}, floor {digits(1)}", lambda: f"${digits(3)},{digits(3)}.{digits(2)} net", lambda: f"127.0.0.1:{digits(4, '123456789')} (local)", lambda: "e-mail me when you are done", lambda: f"v{digits(1)}.{digits(1)}.{digits(1)}-rc.{digits(1)}",
]


def main():
    for label, types in (("pii", PII), ("secret", SECRETS)):
        for kind, (make, says) in types.items():
            for say in says:
                for _ in range(6):
                    value = make()
                    before, after = say.replace("{{", "{").replace("}}", "}").split("{}", 1) if "{{" in say else say.split("{}", 1)
                    spans = [{"start": len(before), "end": len(before) + len(value), "type": kind}]
                    print(json.dumps({"text": before + value + after, "label": label, "kind": "held", "source": "cardea-held", "spans": spans}, ensure_ascii=False))
    for make in NONE:
        for _ in range(12):
            print(json.dumps({"text": make(), "label": "none", "kind": "hard_negative", "source": "cardea-held", "spans": []}, ensure_ascii=False))


main()
