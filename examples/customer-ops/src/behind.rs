//! The shop inside a program that also runs Cardea, such as the demo and the tests.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use cardea_mcp::Error;

use crate::{Config, Db};

/// Address and data folder of such a shop.
#[derive(Debug, Clone)]
pub struct Behind {
    /// Address of the shop, as tokens name it.
    pub url: String,
    /// Folder of the database.
    pub folder: PathBuf,
}

impl Behind {
    /// Returns a shop on this socket in the folder `shop` of `dir`, and the configuration of a server that trusts only
    /// tokens that Cardea signs for it (issuer and key set).
    ///
    /// # Errors
    /// If the folder cannot be created.
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

    /// Opens the shop's database while the shop is running.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub fn ledger(&self) -> Result<Db, Error> {
        Db::open(Some(&self.folder.join("customer-ops.sqlite")))
    }
}
