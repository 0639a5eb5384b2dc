#!/usr/bin/env python3
"""Writes own training pairs for the cache's score: the same wish in other words, or one detail changed.

    python3 models/cache-verdict/pairs.py > pairs.jsonl                   # for training
    python3 models/cache-verdict/pairs.py wide > wide.jsonl               # wide.txt, for training as well
    python3 models/cache-verdict/pairs.py held fresh later edits edits-aside roles roles-aside fronted opposites opposites-aside > lists.jsonl  # for measuring alone

Each family says one wish in several ways, with slots. Two ways with equal slots are a pair that means the same; a
changed slot, or the family's opposite, is a pair that does not. `family` keeps pairs of one family in one fold.
"""

import itertools
import json
import random
import sys
from pathlib import Path

SLOTS = {
    "n": ["12", "40", "7", "215", "1001", "88", "3"],
    "id": ["A-771", "90412", "BX-3300", "58817", "INV-204", "17", "4410"],
    "city": ["Lyon", "Osaka", "Quito", "Leeds", "Turin", "Bergen", "Perth"],
    "name": ["Mara", "Jonas", "Priya", "Tomás", "Wei", "Olga", "Amir"],
    "day": ["Monday", "Friday", "Sunday", "Tuesday", "Thursday"],
    "month": ["January", "May", "October", "March", "August"],
    "lang": ["Spanish", "German", "Korean", "Polish", "Arabic"],
    "cur": ["dollars", "euros", "yen", "pounds", "francs"],
    "thing": ["laptop", "sofa", "bicycle", "camera", "printer"],
    "food": ["lasagna", "ramen", "curry", "pancakes", "paella"],
    "prod": ["Postgres", "Redis", "MySQL", "Kafka", "Nginx"],
    "time": ["6 am", "9 pm", "noon", "4:30", "7 am"],
    "area": ["sales", "billing", "legal", "support", "marketing"],
    "period": ["week", "month", "quarter", "year"],
}

# Ways to say one wish; after `!` the ways to say the opposite or another wish with nearly the same words.
FAMILIES = """
where is parcel {id}|has parcel {id} shipped yet, and where is it now|I want to track parcel {id}|tracking status of {id}!cancel parcel {id}|who signed for parcel {id}
what is the balance of account {id}|how much money is in account {id}|show the funds available on account {id}!close account {id}|who owns account {id}
convert {n} {cur} to my currency|how much is {n} {cur} in my currency|exchange value of {n} {cur}!convert {n} of my currency to {cur}
what is the weather in {city} on {day}|will it be nice in {city} on {day}|{day} forecast for {city}!what was the weather in {city} last {day}
book a table for {n} on {day}|I'd like to reserve a table for {n} people this {day}|make a {day} reservation, party of {n}!cancel the table for {n} on {day}
set an alarm for {time}|wake me at {time}|I need to be up at {time}, set an alarm!delete the alarm for {time}
how do I turn on two-factor login|enable two step verification on my account|activate 2FA please!how do I turn off two-factor login|disable two step verification on my account
translate good night into {lang}|how do you say good night in {lang}|good night in {lang}?!translate good night from {lang}
how long does {food} take to cook|cooking time for {food}|for how many minutes should I cook {food}!how much does {food} cost|what wine goes with {food}
who manages the {area} team|who is in charge of {area}|name the head of the {area} department!how many people work in {area}
send {n} {cur} to {name}|transfer {n} {cur} to {name}|I want to pay {name} {n} {cur}!request {n} {cur} from {name}
does {name} report to the {area} lead|is the {area} lead the boss of {name}!does the {area} lead report to {name}
increase the limit of card {id} to {n}|raise card {id}'s limit to {n}|card {id}: set a higher limit of {n}!lower the limit of card {id} to {n}
how do I back up {prod}|steps to create a backup of {prod}|what's the way to make a {prod} backup!how do I restore {prod}|how do I uninstall {prod}
restart the {prod} server|reboot the machine that runs {prod}|can you bounce the {prod} host!stop the {prod} server
is the {thing} in stock|do you have the {thing} available|can I buy the {thing} now!is the {thing} out of warranty|is the {thing} discontinued
what is the return policy for a {thing}|how can I send back a {thing} I bought|can I return my {thing}!what is the warranty for a {thing}
revenue in {month}|how much did we earn in {month}|show me the {month} income!costs in {month}|how much did we spend in {month}
top {n} customers by spending|which {n} customers spend the most|list our {n} biggest spenders!which {n} customers spend the least
sales report for this {period}|show how much we sold this {period}|I need the current {period}'s sales numbers!sales report for last {period}
flights from {city} to Madrid on {day}|I want to fly to Madrid from {city} this {day}|find me a {day} flight, {city} to Madrid!flights from Madrid to {city} on {day}
invite {name} to the meeting on {day}|add {name} to {day}'s meeting|please put {name} on the {day} meeting!remove {name} from the meeting on {day}
subscribe me to the newsletter|sign me up for the newsletter|I want to get your newsletter!unsubscribe me from the newsletter|stop sending me the newsletter
how do I change my password|reset my password|I forgot my password, what now|update the password of my account!how do I change my email|what are the password rules
is breakfast included|does the room come with breakfast|do you serve breakfast with the stay!is parking included|is breakfast not included
what time do you open on {day}|opening time on {day}|when can I come in on {day}!what time do you close on {day}
can I bring a dog|are dogs allowed|is it okay if my dog comes along!can I bring a cat|are dogs forbidden
which medicines are safe with ibuprofen|what can I take together with ibuprofen!which medicines are unsafe with ibuprofen|what must I avoid with ibuprofen
convert {n} miles to kilometers|how many kilometers are {n} miles|{n} miles in km!convert {n} kilometers to miles
show open tickets of {name}|which tickets does {name} still have open|list {name}'s unresolved tickets!show closed tickets of {name}
assign ticket {id} to {name}|give ticket {id} to {name}|make {name} the owner of ticket {id}!unassign ticket {id} from {name}|assign ticket {id} to anyone but {name}
explain inflation in simple words|what is inflation, simply put|inflation explained for beginners!explain deflation in simple words|explain recession in simple words
write a poem about the sea|compose a poem on the ocean|I'd like a poem about the sea!write a story about the sea|write a poem about the mountains
summarize the report of {month}|give me a short version of the {month} report|what are the main points of {month}'s report!translate the report of {month}
how old must I be to rent a car|minimum age for car rental|from which age can I rent a car!maximum age for car rental|how much is car rental
play jazz in the kitchen|put on some jazz in the kitchen|I want to hear jazz in the kitchen!play rock in the kitchen|stop the jazz in the kitchen
lights off in the bedroom|turn the bedroom lights off|switch off the bedroom light!lights on in the bedroom|dim the bedroom lights
did my payment of {n} {cur} go through|has the {n} {cur} payment succeeded|was my {n} {cur} payment received!did my payment of {n} {cur} fail
who wrote Hamlet|author of Hamlet|which writer created Hamlet!when was Hamlet written|who played Hamlet
days until {month}|how many days are left before {month} begins!days since {month}
deploy version {n} to production|release v{n} on prod|push version {n} live!roll back version {n} in production|deploy version {n} to staging
grant {name} admin rights|make {name} an admin|give {name} administrator access!revoke {name}'s admin rights
what is the fee for a withdrawal|how much do you charge when I take out cash|cash withdrawal costs!what is the fee for a deposit
my card was stolen|somebody stole my card|card theft, help!my card was declined|my card has expired
why was I charged twice|there are two charges for one purchase|I see a duplicate charge!why was I charged a fee|why was I not charged
""".strip().split("\n")


def fill(text, values):
    for slot, value in values.items():
        text = text.replace("{" + slot + "}", value)
    return text


def listed(name):
    """The pairs of a list of wishes: each way against each other way, and against each other wish."""
    lines = Path(__file__).with_name(f"{name}.txt").read_text().splitlines()
    for number, line in enumerate(line for line in lines if not line.startswith("#")):
        ways, others = (part.split("|") if part else [] for part in line.partition("!")[::2])
        pairs = [(a, b, True) for a, b in itertools.combinations(ways, 2)]
        for a, b, same in pairs + [(a, b, False) for a, b in itertools.product(ways, others)]:
            yield {"a": a, "b": b, "same": same, "source": f"cardea-{name}", "kind": "list", "family": f"{name}-{number}"}


def main():
    if len(sys.argv) > 1:
        for name in sys.argv[1:]:
            for row in listed(name):
                print(json.dumps(row, ensure_ascii=False))
        return
    dice = random.Random(20261121)
    rows = set()
    for number, line in enumerate(FAMILIES):
        ways, others = (part.split("|") for part in line.split("!"))
        slots = [slot for slot in SLOTS if "{" + slot + "}" in line]
        for _ in range(6 if slots else 1):
            values = {slot: dice.choice(SLOTS[slot]) for slot in slots}
            for a, b in itertools.combinations(ways, 2):
                rows.add((fill(a, values), fill(b, values), True, "paraphrase", number))
            for slot in slots:
                changed = dict(values, **{slot: dice.choice([v for v in SLOTS[slot] if v != values[slot]])})
                a, b = dice.choice(ways), dice.choice(ways)
                for one, other in ((a, a), (a, b)):
                    if "{" + slot + "}" in one and "{" + slot + "}" in other:
                        rows.add((fill(one, values), fill(other, changed), False, slot, number))
            for a, b in itertools.product(ways, others):
                rows.add((fill(a, values), fill(b, values), False, "opposite", number))
    for a, b, same, kind, family in sorted(rows):
        if a != b:
            row = {"a": a, "b": b, "same": same, "source": "cardea-own", "kind": kind, "family": f"own-{family}"}
            print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
