//! A gateway for tests: the real routes and streams over views that a toy exchange feeds.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::RwLock;
use protocol::{AccountId, Name, order::SessionKind};
use serde_json::Value;
use transport::local::LocalNetwork;

use crate::{
    app::App,
    config::Config,
    credential::Credential,
    keys::{Key, Keys},
    limits::{Allowances, Limits},
    link::{Client, From, client::Settings},
    rest,
    store::{Directory, SealingKey, Store},
    stream::Hub,
    views::{
        Effects, Views,
        accounts::{
            queues::RankedQueues,
            sample::{Ask, Said, Toy},
        },
    },
};

/// An API key that the stage knows, and its secret.
pub const KEY: &str = "stagekeystagekeystagekey";
pub const SECRET: &str = "stagesecretstagesecret";
const CHANNEL: &str = "stage";

pub struct Stage {
    pub app: Arc<App>,
    pub address: SocketAddr,
    toy: Toy,
    /// Events of the toy that the views have.
    applied: usize,
    _link: Client,
    _directory: tempfile::TempDir,
}

impl Stage {
    /// A gateway that serves on a port of its own, with what the toy begins with.
    pub async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("stage.sqlite")).await.unwrap());
        let views = Arc::new(RwLock::new(Views::default()));
        let (hub, task) = Hub::new(Arc::clone(&views));
        tokio::spawn(task.run());
        let link = link();
        let keys = Keys::default();
        let credential = Credential::Secret(SECRET.as_bytes().to_vec());
        keys.insert(Key { key: KEY.into(), account: AccountId(1), credential });
        let directory = Directory::new(Arc::clone(&store), SealingKey::random());
        directory.create_account("test", "stage", 0).await.unwrap();
        let app = Arc::new(App {
            config: config(folder.path()),
            views,
            orders: link.orders(),
            keys,
            limits: Limits::new(Allowances::default()),
            hub,
            store,
            directory,
            queues: RankedQueues::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service =
            rest::router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        let toy = Toy::new();
        let mut stage = Self { app, address, toy, applied: 0, _link: link, _directory: folder };
        stage.play(&[]);
        stage
    }

    /// Lets the toy do something; views and streams know of it afterwards.
    pub fn play(&mut self, asks: &[Ask]) {
        asks.iter().for_each(|ask| self.toy.ask(*ask));
        let mut effects = Effects::default();
        {
            let mut views = self.app.views.write();
            for (shard, header, event) in &self.toy.said[self.applied..] {
                views.apply(*shard, header, event, &mut effects);
            }
        }
        self.applied = self.toy.said.len();
        self.app.hub.publish(effects.market, effects.user);
    }

    /// Everything that the toy has said.
    pub fn events(&self) -> &[Said] {
        &self.toy.said
    }

    /// Asks without a key; returns status and body.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send(reqwest::Client::new().get(self.url(path))).await
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Holds a value to a template: `"string"`, `"int"`, `"bool"`, lists of one row, objects with at
/// least the template's fields. An empty list has no shape.
pub fn check_shape(value: &Value, template: &Value, at: &str) {
    match template {
        Value::String(kind) => {
            let fits = match kind.as_str() {
                "string" => value.is_string(),
                "int" => value.is_i64() || value.is_u64(),
                "bool" => value.is_boolean(),
                other => panic!("no kind is called {other}"),
            };
            assert!(fits, "{at}: {value} is no {kind}");
        }
        Value::Array(rows) => {
            let values = value.as_array().unwrap_or_else(|| panic!("{at}: {value} is no list"));
            assert!(!values.is_empty(), "{at}: nothing to check");
            for (index, value) in values.iter().enumerate() {
                let template = if rows.len() == 1 { &rows[0] } else { &rows[index] };
                check_shape(value, template, &format!("{at}[{index}]"));
            }
            assert!(rows.len() == 1 || rows.len() == values.len(), "{at}: {value}");
        }
        Value::Object(fields) => {
            for (name, template) in fields {
                let field = value.get(name).unwrap_or_else(|| panic!("{at}: no {name} in {value}"));
                check_shape(field, template, &format!("{at}.{name}"));
            }
        }
        other => panic!("{at}: {other} is no template"),
    }
}

/// A link to shards that are not there.
fn link() -> Client {
    let settings = Settings {
        cluster: 1,
        discovery_channel: CHANNEL.into(),
        egress_channel: CHANNEL.into(),
        kind: SessionKind::Gateway,
        name: Name::EMPTY,
        from: From::beginning(),
        reply_timeout: Duration::from_millis(100),
    };
    struct Deaf;
    impl crate::link::Listener for Deaf {
        fn apply(&mut self, _batch: &[crate::link::Received]) {}
    }
    let transport = Box::new(LocalNetwork::new().transport());
    Client::start(settings, transport, Box::new(Deaf), |_| {}).unwrap()
}

fn config(folder: &std::path::Path) -> Config {
    Config {
        cluster: 1,
        aeron_dir: folder.to_owned(),
        channel: CHANNEL.into(),
        // the toy is no shard: none is waited for
        shards: 0,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: folder.to_owned(),
        admin_token: "stage-token-of-16-characters".into(),
        secret_key: "00".repeat(32),
        reply_timeout_ms: 100,
        limits: Allowances::default(),
    }
}
