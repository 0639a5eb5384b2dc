//! Initial data of the shop, always the same: 300 customers, 600 orders, 240 tickets and related data.

use rusqlite::{Transaction, params};

const SCHEMA: &str = "
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, phone TEXT NOT NULL,
    city TEXT NOT NULL, plan TEXT NOT NULL, balance_cents INTEGER NOT NULL DEFAULT 0, since TEXT NOT NULL);
CREATE TABLE segments (customer_id INTEGER NOT NULL REFERENCES customers ON DELETE CASCADE, segment TEXT NOT NULL);
CREATE TABLE notes (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers ON DELETE CASCADE,
    author TEXT NOT NULL, text TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE interactions (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers ON DELETE CASCADE,
    at TEXT NOT NULL, channel TEXT NOT NULL, summary TEXT NOT NULL);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers ON DELETE CASCADE,
    status TEXT NOT NULL, item TEXT NOT NULL, quantity INTEGER NOT NULL, total_cents INTEGER NOT NULL,
    discount_cents INTEGER NOT NULL DEFAULT 0, discount_code TEXT, refunded_cents INTEGER NOT NULL DEFAULT 0,
    placed TEXT NOT NULL);
CREATE TABLE shipments (order_id INTEGER PRIMARY KEY REFERENCES orders ON DELETE CASCADE, carrier TEXT NOT NULL,
    tracking TEXT NOT NULL, status TEXT NOT NULL, last_seen TEXT NOT NULL, expected TEXT NOT NULL);
CREATE TABLE invoices (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders ON DELETE CASCADE,
    amount_cents INTEGER NOT NULL, status TEXT NOT NULL, issued TEXT NOT NULL, due TEXT NOT NULL);
CREATE TABLE payment_methods (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers ON DELETE CASCADE,
    kind TEXT NOT NULL, label TEXT NOT NULL, expires TEXT, is_default INTEGER NOT NULL);
CREATE TABLE refunds (owner TEXT NOT NULL, idempotency_key TEXT NOT NULL, order_id INTEGER NOT NULL REFERENCES orders ON DELETE CASCADE,
    amount_cents INTEGER NOT NULL, reason TEXT NOT NULL, by_user TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (owner, idempotency_key));
CREATE TABLE discounts (code TEXT PRIMARY KEY, percent INTEGER NOT NULL);
CREATE TABLE tickets (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers ON DELETE CASCADE,
    subject TEXT NOT NULL, status TEXT NOT NULL, priority TEXT NOT NULL, assignee TEXT, tier INTEGER NOT NULL DEFAULT 1,
    opened TEXT NOT NULL, closed TEXT);
CREATE TABLE comments (id INTEGER PRIMARY KEY, ticket_id INTEGER NOT NULL REFERENCES tickets ON DELETE CASCADE,
    author TEXT NOT NULL, text TEXT NOT NULL, is_internal INTEGER NOT NULL, at TEXT NOT NULL);
CREATE TABLE flags (name TEXT PRIMARY KEY, is_enabled INTEGER NOT NULL, changed_by TEXT NOT NULL);
CREATE TABLE events (id INTEGER PRIMARY KEY, at TEXT NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL);
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE INDEX tickets_by_customer ON tickets (customer_id);
";

const FIRST: [&str; 20] = [
    "Ada", "Bela", "Cora", "Davi", "Elif", "Finn", "Gita", "Hugo", "Ines", "Jana", "Kofi", "Lena", "Milo",
    "Nora", "Omar", "Pia", "Quin", "Rosa", "Sami", "Tove",
];
const LAST: [&str; 15] = [
    "Albers", "Brandt", "Costa", "Dahl", "Egger", "Fischer", "Garcia", "Haas", "Ito", "Jansen", "Keller",
    "Lund", "Moreau", "Novak", "Olsen",
];
const CITIES: [&str; 6] = ["Berlin", "Lisbon", "Oslo", "Vienna", "Zurich", "Ghent"];
const PLANS: [&str; 3] = ["basic", "plus", "business"];
const ITEMS: [(&str, i64); 6] = [
    ("Desk lamp", 3_900),
    ("Standing desk", 42_000),
    ("Office chair", 18_900),
    ("Monitor arm", 7_500),
    ("Keyboard", 9_900),
    ("Headset", 12_900),
];
const SUBJECTS: [&str; 5] = [
    "Parcel has not arrived",
    "Charged twice",
    "Item is damaged",
    "Cannot sign in",
    "Question about my invoice",
];
const AGENTS: [&str; 4] = ["ann", "bob", "carla", "deniz"];

/// Deterministic pseudo-random numbers (a linear congruential generator with the constants of Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides.max(1)
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let at = usize::try_from(self.below(choices.len() as u64)).ok()?;
        choices.get(at).copied()
    }

    fn date(&mut self) -> String {
        let (month, day) = (1 + self.below(11), 1 + self.below(28));
        format!("2026-{month:02}-{day:02}")
    }
}

/// Creates the tables and the data if they do not exist.
pub(crate) fn fill(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let there: i64 =
        tx.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'customers'", [], |row| row.get(0))?;
    if there > 0 {
        return Ok(());
    }
    tx.execute_batch(SCHEMA)?;
    let mut dice = Dice(17);
    customers(tx, &mut dice)?;
    orders(tx, &mut dice)?;
    tickets(tx, &mut dice)?;
    for (code, percent) in [("WELCOME10", 10), ("LOYAL15", 15), ("SORRY20", 20)] {
        tx.execute("INSERT INTO discounts VALUES (?1, ?2)", params![code, percent])?;
    }
    for flag in ["new_checkout", "dark_mode", "fast_refunds", "beta_reports"] {
        tx.execute("INSERT INTO flags VALUES (?1, ?2, 'seed')", params![flag, flag == "dark_mode"])?;
    }
    Ok(())
}

fn customers(tx: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<()> {
    for id in 1..=300_i64 {
        let (first, last) = (dice.of(&FIRST).unwrap_or_default(), dice.of(&LAST).unwrap_or_default());
        let plan = dice.of(&PLANS).unwrap_or_default();
        let email = format!("{}.{}{id}@example.com", first.to_lowercase(), last.to_lowercase());
        let phone = format!("+49 30 555 {:04}", 1000 + id);
        tx.execute(
            "INSERT INTO customers (id, name, email, phone, city, plan, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![id, format!("{first} {last}"), email, phone, dice.of(&CITIES), plan, dice.date()],
        )?;
        let segment = if plan == "business" { "companies" } else { "private" };
        for segment in [segment, if dice.below(4) == 0 { "newsletter" } else { plan }] {
            tx.execute("INSERT INTO segments VALUES (?1, ?2)", params![id, segment])?;
        }
        let card = 1000 + dice.below(9000);
        tx.execute(
            "INSERT INTO payment_methods (customer_id, kind, label, expires, is_default) VALUES (?1, 'card', ?2, ?3, 1)",
            params![id, format!("card ending in {card}"), format!("20{}-{:02}", 27 + dice.below(4), 1 + dice.below(12))],
        )?;
        if dice.below(3) == 0 {
            tx.execute(
                "INSERT INTO payment_methods (customer_id, kind, label, is_default) VALUES (?1, 'sepa', ?2, 0)",
                params![id, format!("account ending in {}", 1000 + dice.below(9000))],
            )?;
        }
        for _ in 0..1 + dice.below(4) {
            let channel = dice.of(&["mail", "phone", "chat"]);
            let summary = dice.of(&[
                "asked about delivery",
                "praised the support",
                "asked for an invoice copy",
                "complained",
            ]);
            tx.execute(
                "INSERT INTO interactions (customer_id, at, channel, summary) VALUES (?1, ?2, ?3, ?4)",
                params![id, dice.date(), channel, summary],
            )?;
        }
    }
    Ok(())
}

fn orders(tx: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<()> {
    for id in 1..=600_i64 {
        let customer = 1 + i64::try_from(dice.below(300)).unwrap_or(0);
        let (item, price) = dice.of(&ITEMS).unwrap_or_default();
        let quantity = 1 + i64::try_from(dice.below(3)).unwrap_or(0);
        // WHY: the guide's walk-through refunds order 17, so this order is always delivered and its amount is sufficient.
        let (item, price, quantity) =
            if id == 17 { ("Office chair", 18_900, 1) } else { (item, price, quantity) };
        let drawn = dice.of(&["pending", "paid", "shipped", "delivered", "delivered", "delivered"]);
        let status = if id == 17 { Some("delivered") } else { drawn };
        let (placed, total) = (dice.date(), price * quantity);
        tx.execute(
            "INSERT INTO orders (id, customer_id, status, item, quantity, total_cents, placed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![id, customer, status, item, quantity, total, placed],
        )?;
        let paid = status != Some("pending");
        tx.execute(
            "INSERT INTO invoices (id, order_id, amount_cents, status, issued, due) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
            params![10_000 + id, id, total, if paid { "paid" } else { "open" }, placed],
        )?;
        if matches!(status, Some("shipped" | "delivered")) {
            tx.execute(
                "INSERT INTO shipments VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    id,
                    dice.of(&["DHL", "PostNord", "UPS"]),
                    format!("TRK{:09}", 100_000 + id * 37),
                    if status == Some("delivered") { "delivered" } else { "in transit" },
                    dice.of(&CITIES),
                    dice.date()
                ],
            )?;
        }
    }
    Ok(())
}

fn tickets(tx: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<()> {
    for id in 1..=240_i64 {
        let customer = 1 + i64::try_from(dice.below(300)).unwrap_or(0);
        let status = dice.of(&["open", "pending", "resolved", "closed"]);
        let (opened, closed) = (dice.date(), (status == Some("closed")).then(|| "2026-11-30".to_owned()));
        tx.execute(
            "INSERT INTO tickets (id, customer_id, subject, status, priority, assignee, opened, closed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                id,
                customer,
                dice.of(&SUBJECTS),
                status,
                dice.of(&["low", "normal", "high"]),
                dice.of(&AGENTS),
                opened,
                closed
            ],
        )?;
        for _ in 0..dice.below(3) {
            tx.execute(
                "INSERT INTO comments (ticket_id, author, text, is_internal, at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    id,
                    dice.of(&AGENTS),
                    "Query the customer for a photo.",
                    dice.below(2) == 1,
                    dice.date()
                ],
            )?;
        }
    }
    Ok(())
}
