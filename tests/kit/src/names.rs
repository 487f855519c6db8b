//! A resolver that answers whatever a test wants, and differently each time if need be.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use shared::egress::Names;

/// Names that a test made up; others cannot be resolved.
#[derive(Debug, Clone, Default)]
pub struct MadeUpNames(Arc<Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>>);

impl MadeUpNames {
    /// Lets `name` resolve to these addresses from now on.
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.set_in_turn(name, &[addresses]);
    }

    /// Lets `name` resolve to each of these answers in turn; the last one stays.
    pub fn set_in_turn(&self, name: &str, answers: &[&[IpAddr]]) {
        let answers = answers.iter().map(|addresses| addresses.to_vec()).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), answers);
    }
}

#[async_trait::async_trait]
impl Names for MadeUpNames {
    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = names.get_mut(name.trim_end_matches('.')).ok_or(io::ErrorKind::NotFound)?;
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Ok(answer.unwrap_or_default().into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }
}
