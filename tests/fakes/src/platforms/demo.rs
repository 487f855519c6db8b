//! One account of each platform, for the sandbox: a project with a few variables, a token to paste, and an OAuth client
//! whose consent page is answered as that account.
//!
//! The values are plainly no real ones and are the same in every run.

use serde::Serialize;

use super::OAuthClient;
use super::heroku::HerokuToken;
use super::netlify::{NetlifyToken, NetlifyVariable};
use super::railway::RailwayReach;
use super::render::RenderKey;
use super::vercel::{VercelRecord, VercelToken};
use crate::Fakes;

/// What the sandbox has with one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlatformDemo {
    /// The platform, as the API names it.
    pub provider: &'static str,
    /// A token to paste.
    pub token: String,
    /// A project that the token reaches.
    pub project_id: String,
    /// An environment of the project that has variables.
    pub environment: &'static str,
    /// The OAuth client, where the platform has OAuth: id, secret, and the slug of its install address.
    pub client: Option<(String, String, String)>,
}

/// The user of every platform.
const USER: &str = "sandbox-user";
/// The repository that projects are built from.
const REPO: &str = "acme/shop";

impl Fakes {
    /// Adds an account to each platform. `callback` is the address that a provider's users are sent back to.
    pub fn seed_platforms(&self, callback: &dyn Fn(&str) -> String) -> Vec<PlatformDemo> {
        let demo = |provider: &'static str, project_id: &str, environment, has_oauth: bool| PlatformDemo {
            provider,
            token: format!("sandbox-{provider}-token-0001"),
            project_id: project_id.to_owned(),
            environment,
            client: has_oauth.then(|| {
                let secret = format!("sandbox-{provider}-client-secret");
                (format!("sandbox-{provider}-client"), secret, "causeway-sandbox".to_owned())
            }),
        };
        let demos = vec![
            demo("vercel", "prj_sandbox", "production", true),
            demo("railway", "sandbox-project/sandbox-service", "production", true),
            demo("netlify", "sandbox-site", "production", true),
            demo("render", "srv-sandbox", "production", false),
            demo("heroku", "sandbox-app", "production", true),
        ];
        for one in &demos {
            let client = one.client.as_ref().map(|(id, secret, slug)| OAuthClient {
                slug: slug.clone(),
                ..OAuthClient::new(id, secret, &callback(one.provider))
            });
            self.seed_platform(one, client);
        }
        demos
    }

    fn seed_platform(&self, demo: &PlatformDemo, client: Option<OAuthClient>) {
        match (demo.provider, client) {
            ("vercel", Some(client)) => self.seed_vercel(demo, client),
            ("railway", Some(client)) => self.seed_railway(demo, client),
            ("netlify", Some(client)) => self.seed_netlify(demo, client),
            ("heroku", Some(client)) => {
                let reach = HerokuToken { user: USER.into(), read_only: false };
                self.heroku.add_app(&demo.project_id, "shop", USER);
                self.heroku.set(&demo.project_id, "LOG_LEVEL", "info");
                self.heroku.add_token(&demo.token, reach.clone());
                self.heroku.add_client(client);
                self.heroku.consent_as(reach);
            }
            _ => {
                let url = format!("https://github.com/{REPO}");
                self.render.add_owner("tea-sandbox", "Acme");
                self.render.add_service(&demo.project_id, "shop", "tea-sandbox", Some(&url));
                self.render.set(&demo.project_id, "LOG_LEVEL", "info");
                self.render.add_key(&demo.token, RenderKey { owners: vec!["tea-sandbox".into()], read_only: false });
            }
        }
    }

    fn seed_vercel(&self, demo: &PlatformDemo, client: OAuthClient) {
        let team = "team_sandbox";
        let link = serde_json::json!({ "type": "github", "org": "acme", "repo": "shop" });
        self.vercel.add_team(team, "Acme");
        self.vercel.add_project(&demo.project_id, "shop", team);
        self.vercel.describe_project(&demo.project_id, Some("nextjs"), Some(link));
        let everywhere = ["production", "preview", "development"];
        self.vercel.add_record(&demo.project_id, VercelRecord::of("LOG_LEVEL", "info", &everywhere));
        self.vercel.add_record(&demo.project_id, VercelRecord::sensitive("SESSION_KEY", "unseen", &["production"]));
        // Of the one team alone, so that there is nothing to choose.
        let reach = VercelToken {
            user: USER.into(),
            teams: vec![team.into()],
            project: Some(demo.project_id.clone()),
            read_only: false,
        };
        self.vercel.add_token(&demo.token, reach);
        self.vercel.add_client(client);
        self.vercel.consent_as(USER, Some(team));
    }

    fn seed_railway(&self, demo: &PlatformDemo, client: OAuthClient) {
        let Some((project, service)) = demo.project_id.split_once('/') else { return };
        self.railway.add_workspace("sandbox-workspace", "Acme");
        self.railway.add_project(project, "shop", "sandbox-workspace");
        self.railway.add_environment(project, "sandbox-production", "production", false);
        self.railway.add_environment(project, "sandbox-staging", "staging", false);
        self.railway.add_service(project, service, "web", Some(REPO));
        self.railway.set_variable(project, "sandbox-production", None, ("REGION", "eu"), false);
        let reference = ("REGION", "${{shared.REGION}}");
        self.railway.set_variable(project, "sandbox-production", Some(service), reference, false);
        let workspaces = vec!["sandbox-workspace".to_owned()];
        self.railway.add_token(&demo.token, RailwayReach::User { id: USER.into(), workspaces: workspaces.clone() });
        self.railway.add_client(client);
        self.railway.consent_as(RailwayReach::Grant {
            user: USER.into(),
            workspaces,
            projects: Vec::new(),
            writes: true,
        });
    }

    fn seed_netlify(&self, demo: &PlatformDemo, client: OAuthClient) {
        let reach = NetlifyToken { user: USER.into(), accounts: vec!["sandbox-account".into()], read_only: false };
        self.netlify.add_account("sandbox-account", "Acme", true);
        self.netlify.add_site(&demo.project_id, "shop", "sandbox-account", Some(REPO));
        self.netlify.add_variable(&demo.project_id, NetlifyVariable::of("LOG_LEVEL", &[("all", "info")]));
        self.netlify.add_token(&demo.token, reach.clone());
        self.netlify.add_client(client);
        self.netlify.consent_as(reach);
    }
}
