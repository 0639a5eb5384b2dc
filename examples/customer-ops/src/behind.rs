//! The shop inside a program that also runs Cardea: the demo's and the tests'.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use cardea_mcp::Error;

use crate::{Config, Db};

/// Where such a shop is, and where it keeps its data.
#[derive(Debug, Clone)]
pub struct Behind {
    /// Its address, as tokens name it.
    pub url: String,
    /// The folder of its database.
    pub folder: PathBuf,
}

impl Behind {
    /// A shop on this socket in the folder `shop` of `dir`, and the setting of a server that trusts what Cardea signs
    /// for it (issuer and key set), and nothing else.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn cardea(
        address: SocketAddr,
        dir: &Path,
        signed: (&str, String),
    ) -> std::io::Result<(Self, Config)> {
        let shop = Self { url: format!("http://{address}/mcp"), folder: dir.join("shop") };
        std::fs::create_dir_all(&shop.folder)?;
        let config = Config::behind(signed, &shop.url, shop.folder.clone());
        Ok((shop, config))
    }

    /// A look into what it has done, while it runs.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub fn ledger(&self) -> Result<Db, Error> {
        Db::open(Some(&self.folder.join("customer-ops.sqlite")))
    }
}
