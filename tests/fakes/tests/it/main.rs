//! The fakes, driven by a plain HTTP client: every fact about a provider that other tests rely on is pinned here.

#[cfg(test)]
mod ai;
#[cfg(test)]
mod ai_gateway;
#[cfg(test)]
mod client;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod discord;
#[cfg(test)]
mod evm;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod resend;
#[cfg(test)]
mod sendgrid;
#[cfg(test)]
mod slack;
#[cfg(test)]
mod telegram;
#[cfg(test)]
mod webhook;
