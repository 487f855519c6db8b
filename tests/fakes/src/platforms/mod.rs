//! Deploy platforms: projects with environments and variables, and the pages on which their users let others in.

mod consent;
mod graphql;
pub mod heroku;
pub mod netlify;
pub mod railway;
pub mod render;
pub mod vercel;

pub use consent::OAuthClient;
