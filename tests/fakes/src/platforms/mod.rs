//! Deploy platforms: projects with environments and variables, and the pages on which their users let others in.

mod consent;
mod demo;
mod graphql;
pub mod heroku;
pub mod netlify;
pub mod railway;
pub mod render;
pub mod vercel;

pub use consent::OAuthClient;
pub use demo::PlatformDemo;
