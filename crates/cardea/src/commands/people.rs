//! `cardea token` and `cardea key`: credentials, issued by anyone who may read the data folder.

use std::{collections::BTreeSet, io::Read as _, sync::Arc};

use cardea_auth::{Auth, TokenName};
use cardea_core::{
    Code, Error, Result,
    id::{KeyId, TenantId, UserId},
    secret::{ExposeSecret as _, SecretString},
    time::{SystemClock, Timestamp},
};
use cardea_store::{Db, args};
use serde_json::json;

use super::{Cli, End, KeyCommand, KeyCreate, Out, Token, TokenCommand, TokenRevoke, client, ground};
use crate::{
    config::{Config, Environment},
    identity::{Identity, KeyInfo, Mint, NewKey, Revoke, try_out_is_off},
};

/// Size limit of a token on standard input.
const LARGEST_TOKEN: u64 = 16 * 1024;

pub(super) fn token(cli: &Cli, wanted: &Token, environment: &Environment, out: &mut Out<'_>) -> End {
    let config = match ground::load(cli, environment, out) {
        Ok(loaded) => loaded.config,
        Err(end) => return end,
    };
    if let Some(TokenCommand::Revoke(wanted)) = &wanted.command {
        return revoke(&config, wanted, out);
    }
    if !config.local_issuer.enabled {
        // WHY: checked before the rooms are opened, since opening them creates a data folder with a key if there is
        // none.
        return ground::refused(&try_out_is_off(), out);
    }
    let mint = Mint::new(wanted.tenant.as_str(), wanted.user.as_deref().unwrap_or_default())
        .roles(wanted.roles.iter().cloned())
        .scopes(wanted.scopes.iter().cloned());
    let made = client::wait(async {
        let (identity, db) = open(&config).await?;
        let token = identity.operator_mint(&mint).await;
        db.close().await;
        token
    });
    match ground::flat(made) {
        Ok(token) if out.json => out.json(&json!({ "token": token.expose_secret() })),
        Ok(token) => {
            let lifetime = config.local_issuer.lifetime;
            out.line(token.expose_secret());
            out.note(format!("for trying out; works for {lifetime}"));
        }
        Err(error) => return ground::refused(&error, out),
    }
    End::Good
}

fn revoke(config: &Config, wanted: &TokenRevoke, out: &mut Out<'_>) -> End {
    let what = match what(wanted) {
        Ok(what) => what,
        Err(error) => return ground::refused(&error, out),
    };
    let tenant = TenantId::from(wanted.tenant.as_str());
    let done = client::wait(async {
        let (identity, db) = open(config).await?;
        let done = match identity.operator_revoke_tokens(&tenant, what).await {
            // The revocation is done, whether or not the user is known here.
            Ok(()) => Ok(seen(&db, wanted.user.as_deref()).await.unwrap_or_default()),
            Err(error) => Err(error),
        };
        db.close().await;
        done
    });
    match ground::flat(done) {
        Ok(seen) => {
            if out.json {
                out.json(
                    &json!({ "revoked": true, "tenant": wanted.tenant, "id": wanted.id, "user": wanted.user,
                    "seen": seen.as_ref().map(|seen| seen.contains(&wanted.tenant)) }),
                );
            }
            let tenant = &wanted.tenant;
            let what = match (&wanted.user, wanted.keys) {
                (Some(user), true) => {
                    format!("all tokens and API keys of `{user}` in the tenant `{tenant}` are")
                }
                (Some(user), false) => format!("all tokens of `{user}` in the tenant `{tenant}` are"),
                (None, _) => format!("the token is, in the tenant `{tenant}`,"),
            };
            let soon = if wanted.keys {
                "tokens within two seconds, and keys within five"
            } else {
                "them within two seconds"
            };
            out.note(format!("{what} revoked; running servers refuse {soon}"));
            if let Some(seen) = seen.filter(|seen| !seen.contains(tenant)) {
                out.note(unseen(wanted.user.as_deref().unwrap_or_default(), tenant, &seen));
            }
            End::Good
        }
        Err(error) => ground::refused(&error, out),
    }
}

/// Returns the tenants in which this user has left traces; `None` if no user is meant.
async fn seen(db: &Db, user: Option<&str>) -> Result<Option<BTreeSet<String>>> {
    let Some(user) = user else { return Ok(None) };
    let sql = "SELECT tenant FROM turns WHERE user_id = $1 UNION SELECT tenant FROM conversations WHERE user_id = $1 \
               UNION SELECT tenant FROM decisions WHERE user_id = $1 UNION SELECT tenant FROM api_keys WHERE user_id = $1";
    let rows: Vec<(String,)> = db.rows(sql, args![user]).await?;
    Ok(Some(rows.into_iter().map(|(tenant,)| tenant).collect()))
}

/// Words the note about a user unknown in this tenant: a slip in the name or tenant should be seen now.
fn unseen(user: &str, tenant: &str, seen: &BTreeSet<String>) -> String {
    let none = format!("note: no user `{user}` was ever seen in the tenant `{tenant}`");
    if seen.is_empty() {
        return format!("{none}, nor in any other");
    }
    let others = seen.iter().take(5).map(|other| format!("`{other}`")).collect::<Vec<_>>().join(", ");
    format!("{none}, but in {others}: if that one is meant, say --tenant")
}

/// Translates the command line into what is revoked.
fn what(wanted: &TokenRevoke) -> Result<Revoke> {
    match (&wanted.id, &wanted.user) {
        (Some(id), _) => Ok(Revoke::Token { id: id.clone(), issuer: wanted.issuer.clone(), until: None }),
        (None, Some(user)) => {
            let issuer = wanted.issuer.clone();
            Ok(Revoke::User { user: UserId::from(user.as_str()), issuer, keys: wanted.keys })
        }
        (None, None) => {
            let bad = |detail: &str| Error::new(Code::BadRequest).detail(detail);
            let mut text = String::new();
            let read = std::io::stdin().take(LARGEST_TOKEN).read_to_string(&mut text);
            read.map_err(|error| bad("Standard input cannot be read.").because(error))?;
            let token = SecretString::from(text.trim());
            let TokenName { issuer, id, expires_at } =
                Auth::name_of(&token).ok_or_else(|| bad("That on standard input is no token."))?;
            Ok(Revoke::Token { id, issuer, until: expires_at })
        }
    }
}

pub(super) fn key(cli: &Cli, command: &KeyCommand, environment: &Environment, out: &mut Out<'_>) -> End {
    let config = match ground::load(cli, environment, out) {
        Ok(loaded) => loaded.config,
        Err(end) => return end,
    };
    let done = client::wait(async {
        let (identity, db) = open(&config).await?;
        let done = keys(&identity, command, out).await;
        db.close().await;
        done
    });
    match ground::flat(done) {
        Ok(()) => End::Good,
        Err(error) => ground::refused(&error, out),
    }
}

async fn keys(identity: &Identity, command: &KeyCommand, out: &mut Out<'_>) -> Result<()> {
    match command {
        KeyCommand::Create(wanted) => {
            let made = identity
                .operator_create_key(&TenantId::from(wanted.tenant.as_str()), new_key(wanted))
                .await?;
            if out.json {
                out.json(&json!(made));
            } else {
                out.line(made.key.expose_secret());
                let KeyInfo { id, user, .. } = &made.info;
                out.note(format!("{id} for {user} in the tenant `{}`; it is not shown again", wanted.tenant));
            }
        }
        KeyCommand::List { tenant } => {
            let keys = identity.operator_keys(&TenantId::from(tenant.as_str())).await?;
            if out.json { out.json(&json!({ "keys": keys })) } else { list(&keys, tenant, out) }
        }
        KeyCommand::Revoke { id, tenant } => {
            let known: KeyId = id.parse().map_err(|error| Error::new(Code::BadRequest).because(error))?;
            identity.operator_revoke(&TenantId::from(tenant.as_str()), known).await?;
            if out.json {
                out.json(&json!({ "revoked": true, "tenant": tenant, "id": id }));
            }
            out.note(format!(
                "{id} of the tenant `{tenant}` is revoked; running servers stop taking it within seconds"
            ));
        }
    }
    Ok(())
}

fn new_key(wanted: &KeyCreate) -> NewKey {
    NewKey {
        user: Some(UserId::from(wanted.user.as_str())),
        name: wanted.name.clone(),
        roles: wanted.roles.iter().cloned().collect(),
        scopes: wanted.scopes.iter().cloned().collect(),
        expires: wanted.expires,
    }
}

fn list(keys: &[KeyInfo], tenant: &str, out: &mut Out<'_>) {
    if keys.is_empty() {
        return out.note(format!("no keys in the tenant `{tenant}`"));
    }
    let head = ["id", "begins with", "user", "name", "state", "last used"].map(str::to_owned).to_vec();
    let time = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let row = |key: &KeyInfo| {
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) => format!("until {at}"),
            (None, None) => "works".to_owned(),
        };
        vec![
            key.id.to_string(),
            key.prefix.clone(),
            key.user.clone(),
            key.name.clone(),
            state,
            time(key.last_used_at),
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(keys.iter().map(row)).collect();
    out.table(&rows);
}

/// Opens the room on the configured database.
async fn open(config: &Config) -> Result<(Identity, Db)> {
    let (vault, db, observe) = ground::rooms(config).await?;
    let identity =
        Identity::open(db.clone(), observe, &vault, Arc::new(SystemClock), &config.local_issuer).await?;
    Ok((identity, db))
}
