//! Wallet apps and hardware wallets: names over chains.
//!
//! An app keeps keys and tells nobody anything, so its history is that of its addresses. Its entry stands over the sources
//! of the chains that it has addresses on, and the address tells which of them is meant. The sources are those of the
//! chains' own entries: an address is one account, whatever app it was connected as.
//!
//! To add a chain to an app, name the chain's module in the brackets: the rest is taken from that module's `ENTRY`.

use super::{Entry, Source, chains};
use crate::model::Category;

/// Puts lists together while this compiles; `filler` is any element.
#[expect(clippy::indexing_slicing, reason = "at compile time, where an index out of bounds does not compile")]
const fn joined<T: Copy, const LENGTH: usize>(filler: T, lists: &[&[T]]) -> [T; LENGTH] {
    let mut joined = [filler; LENGTH];
    let (mut list, mut place) = (0, 0);
    while list < lists.len() {
        let mut element = 0;
        while element < lists[list].len() {
            joined[place] = lists[list][element];
            (element, place) = (element + 1, place + 1);
        }
        list += 1;
    }
    joined
}

macro_rules! apps {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $public_name:literal, over [$($chain:ident),+], $logo:expr, $where:literal;)+) => {
        $(
            $(#[$doc])*
            pub static $name: Entry = Entry {
                id: $id,
                public_name: $public_name,
                category: Category::Wallet,
                logo_url: $logo,
                sources: {
                    static SOURCES: [&dyn Source; 0 $(+ chains::$chain::ENTRY.sources.len())+] =
                        joined(&chains::bitcoin::Bitcoin, &[$(chains::$chain::ENTRY.sources),+]);
                    &SOURCES
                },
                chains: {
                    static CHAINS: [&str; 0 $(+ chains::$chain::ENTRY.chains.len())+] =
                        joined("", &[$(chains::$chain::ENTRY.chains),+]);
                    &CHAINS
                },
                takes_csv: false,
                instructions: concat!(
                    $where,
                    " An address lets us see the history and move nothing. Never give a private key or the words of a \
                     recovery phrase.",
                ),
            };
        )+

        #[cfg(test)]
        const ALL: &[&Entry] = &[$(&$name),+];
    };
}

/// A wallet's logo in RainbowKit's repository, which keeps one of each.
macro_rules! rainbowkit {
    ($commit:literal, $file:literal) => {
        concat!(
            "https://cdn.jsdelivr.net/gh/rainbow-me/rainbowkit@",
            $commit,
            "/packages/rainbowkit/src/wallets/walletConnectors/",
            $file,
        )
    };
}

apps! {
    /// Coinbase Wallet in the catalogue: the app that keeps one's own keys, and not the exchange.
    COINBASE_WALLET = "coinbase_wallet", "Coinbase Wallet", over [evm, solana, bitcoin],
        rainbowkit!("1569bc7988ea0f88cc578c3d940de87c4a54f7ee", "coinbaseWallet/coinbaseWallet.svg"),
        "In Coinbase Wallet, also called the Base app, tap Receive and copy the address of a network; connect one after the \
         other. For an account of the exchange choose Coinbase.";
    /// Ledger in the catalogue.
    LEDGER = "ledger", "Ledger", over [evm, solana, bitcoin],
        rainbowkit!("c927bd73c4d6af69f8f226f51c3ce5b99da00f73", "ledger/ledger.svg"),
        "In Ledger Live, also called Ledger Wallet, open the account, choose Receive and copy the address. A Bitcoin \
         account has many addresses, so give its extended public key (xpub, ypub or zpub) instead, which is under Edit \
         account, Advanced.";
    /// MetaMask in the catalogue.
    METAMASK = "metamask", "MetaMask", over [evm, solana, bitcoin],
        rainbowkit!("b93a23733f39f1399ffdb89722ce271ca23aac6d", "metaMaskWallet/metaMaskWallet.svg"),
        "In MetaMask open the account's menu, Addresses, and copy one. The address of Ethereum, 0x and 40 letters and \
         digits, is the same on every chain that works as it does; connect those of other networks one after the other.";
    /// Phantom in the catalogue.
    PHANTOM = "phantom", "Phantom", over [evm, solana, bitcoin],
        rainbowkit!("590381352f67db60abe2af44c918799fe2104b93", "phantomWallet/phantomWallet.svg"),
        "In Phantom tap Receive and copy the address of a network; connect one after the other.";
    /// Rabby in the catalogue.
    RABBY = "rabby", "Rabby", over [evm],
        rainbowkit!("2530e70ebd8f101d9b5cc179bac7ca20c834ceed", "rabbyWallet/rabbyWallet.svg"),
        "In Rabby copy the address beside the account's name: 0x and 40 letters and digits. It is the same on every chain.";
    /// Trezor in the catalogue.
    TREZOR = "trezor", "Trezor", over [evm, solana, bitcoin],
        "https://cdn.jsdelivr.net/npm/simple-icons@16.37.0/icons/trezor.svg",
        "In Trezor Suite open the account, choose Receive and copy the address. A Bitcoin account has many addresses, so \
         give its extended public key (xpub, ypub or zpub) instead, which is under Details, Show public key.";
    /// Trust Wallet in the catalogue.
    TRUST_WALLET = "trust_wallet", "Trust Wallet", over [evm, solana, bitcoin],
        rainbowkit!("54568205379de7b9260be20e52419c46df999e88", "trustWallet/trustWallet.svg"),
        "In Trust Wallet tap Receive and copy the address of a network; connect one after the other.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::Given;

    const EVM: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    const BITCOIN: &str = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu";
    const SOLANA: &str = "6D8GtWkKJgToM5UoiByHqjQCCC9Dq1Hh7iNmU4jKSs12";

    fn given(address: &str, chains: &[&str]) -> Given {
        let chains = chains.iter().map(|chain| (*chain).to_owned()).collect();
        Given { address: Some(address.to_owned()), chains, ..Given::default() }
    }

    #[test]
    fn an_app_has_every_chain_of_its_sources() {
        for app in ALL {
            let count: usize = app
                .sources
                .iter()
                .map(|source| {
                    let own = [&chains::bitcoin::ENTRY, &chains::evm::ENTRY, &chains::solana::ENTRY];
                    own.iter().find(|entry| entry.source(source.name()).is_some()).unwrap().chains.len()
                })
                .sum();
            assert_eq!(app.chains.len(), count, "{}", app.id);
            assert!(app.chains.iter().all(|chain| chain.contains(':')), "{}: {:?}", app.id, app.chains);
            assert!(app.fields().is_empty() && app.category == Category::Wallet);
        }
    }

    #[test]
    fn an_address_tells_which_source_is_meant() {
        for (address, expected) in
            [(BITCOIN, &chains::bitcoin::ENTRY), (EVM, &chains::evm::ENTRY), (SOLANA, &chains::solana::ENTRY)]
        {
            let (source, account) = LEDGER.read(given(address, &[])).unwrap();
            let (own_source, own) = expected.read(given(address, &[])).unwrap();
            assert_eq!((source.name(), &account.chains), (own_source.name(), &own.chains));
            assert_eq!(account.identities, own.identities, "an address is one account, whatever it is connected as");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_is_one() {
        let problems = PHANTOM.read(given("vitalik.eth", &[])).err().unwrap();
        assert_eq!((problems.len(), problems[0].field.as_str()), (1, "address"));
        for word in ["EVM", "Bitcoin", "Solana"] {
            assert!(problems[0].message.contains(word), "{problems:?}");
        }
    }

    #[test]
    fn who_knows_more_of_what_is_wrong_says_it() {
        let signature = bs58::encode([7; 64]).into_string();
        for (address, word) in [
            (EVM.replace('B', "b").as_str(), "EIP-55"),
            ("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "test network"),
            (signature.as_str(), "PRIVATE"),
        ] {
            let problems = METAMASK.read(given(address, &[])).err().unwrap();
            assert!(problems.len() == 1 && problems[0].message.contains(word), "{problems:?}");
        }
    }

    #[test]
    fn an_address_and_chains_that_it_is_not_on_do_not_go_together() {
        for (address, word) in [(BITCOIN, "Bitcoin"), (EVM, "EVM")] {
            let problems = LEDGER.read(given(address, chains::solana::ENTRY.chains)).err().unwrap();
            assert_eq!((problems.len(), problems[0].field.as_str()), (1, "chains"));
            assert!(problems[0].message.contains(word), "{problems:?}");
        }
        let (_, account) = LEDGER.read(given(EVM, &["eip155:1", chains::solana::ENTRY.chains[0]])).ok().unwrap();
        assert_eq!(account.chains, ["eip155:1"]);
    }

    #[test]
    fn an_extended_public_key_is_judged_by_those_who_take_one() {
        let key = "xprv9s21ZrQH143K3GJpoapnV8SFfukcVBSfeCficPSGfubmSFDxo1kuHnLisriDvSnRRuL2Qrg5ggqHKNVpxR86QEC8w35uxmGoggxtQTPvfUu";
        let given = Given { xpub: Some(key.to_owned().into()), ..Given::default() };
        let problems = TREZOR.read(given).err().unwrap();
        assert!(problems[0].field == "xpub" && problems[0].message.contains("PRIVATE"), "{problems:?}");
    }
}
