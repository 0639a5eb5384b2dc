//! Direct access to the shop's data without the server: reads of the ledger, and comments of customers.

use cardea_mcp::Error;

use crate::store::Db;

impl Db {
    /// Returns the number of refunds of an order in the ledger.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn refunds_of(&self, order: i64) -> Result<i64, Error> {
        let sql = "SELECT count(*) FROM refunds WHERE order_id = ?1";
        self.run(move |tx| Ok(tx.query_row(sql, [order], |row| row.get(0))?)).await
    }

    /// Returns all refunds, each with key, order, cents and time (milliseconds since 1970).
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn paid(&self) -> Result<Vec<(String, i64, i64, i64)>, Error> {
        let sql = "SELECT idempotency_key, order_id, amount_cents, \
                   CAST(round((julianday(at) - 2440587.5) * 86400000.0) AS INTEGER) FROM refunds ORDER BY at";
        self.run(move |tx| {
            let mut statement = tx.prepare(sql)?;
            let rows =
                statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the number of comments with exactly this text.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn comments_saying(&self, text: &str) -> Result<i64, Error> {
        let text = text.to_owned();
        let sql = "SELECT count(*) FROM comments WHERE text = ?1";
        self.run(move |tx| Ok(tx.query_row(sql, [text], |row| row.get(0))?)).await
    }

    /// Returns the number of comments of a ticket.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn comments_on(&self, ticket: i64) -> Result<i64, Error> {
        let sql = "SELECT count(*) FROM comments WHERE ticket_id = ?1";
        self.run(move |tx| Ok(tx.query_row(sql, [ticket], |row| row.get(0))?)).await
    }

    /// Adds a customer's comment to a ticket, without checking its text.
    ///
    /// # Errors
    /// If there is no such ticket, or the database cannot be used.
    pub async fn customer_writes(&self, ticket: i64, text: &str) -> Result<(), Error> {
        let text = text.to_owned();
        let sql = "INSERT INTO comments (ticket_id, author, text, is_internal, at) VALUES (?1, 'customer', ?2, 0, '2026-11-20')";
        self.run(move |tx| Ok(tx.execute(sql, (ticket, text))?)).await.map(drop)
    }
}
