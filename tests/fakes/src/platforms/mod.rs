//! Deploy platforms: projects with environments and variables, and the pages on which their users let others in.

pub mod cloudflare;
mod consent;
pub mod fly;
mod gate;
pub mod github;
mod graphql;
pub mod heroku;
pub mod netlify;
pub mod railway;
pub mod render;
pub mod supabase;
pub mod vercel;

pub use consent::OAuthClient;
pub use gate::Reach;
