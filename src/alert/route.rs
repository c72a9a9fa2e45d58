//! The routing tree: which sinks hear of an alert, in which groups, how soon and how often. Alertmanager's meaning: an
//! alert goes down into the first child that fits, and into further ones while a child says `continue`; where no child
//! fits it stays. Children inherit what they do not say.

use sha2::{Digest as _, Sha256};

use super::matcher::{Labels, Matcher, all_fit, parse_all};
use crate::config;
use crate::subject::Millis;

/// Labels by which alerts are grouped unless a route says otherwise.
pub const DEFAULT_GROUP_BY: [&str; 3] = ["model", "version", "kind"];

/// A route with all that it inherits.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Identity in the state, from the matchers on the way to it; empty at the root.
    pub(super) id: String,
    /// Place in the configuration.
    pub(super) path: String,
    matchers: Vec<Matcher>,
    go_on: bool,
    pub(super) sinks: Vec<String>,
    pub(super) group_by: Vec<String>,
    pub(super) group_wait: Millis,
    pub(super) group_interval: Millis,
    /// 0 never repeats.
    pub(super) repeat_interval: Millis,
    pub(super) digest: Option<Millis>,
    children: Vec<usize>,
}

impl Node {
    /// Stands in for a route that the configuration no longer has: what it told is resolved at once.
    pub(super) fn orphaned(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            path: String::new(),
            matchers: Vec::new(),
            go_on: false,
            sinks: Vec::new(),
            group_by: Vec::new(),
            group_wait: 0,
            group_interval: 0,
            repeat_interval: 0,
            digest: None,
            children: Vec::new(),
        }
    }
}

/// All routes.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

/// Identity of the group that starts actions: it hears of everything at once and repeats nothing.
pub(super) const AUTOMATION: &str = "automation";

impl Tree {
    /// The tree of a configuration that was checked; a route whose matchers cannot be read fits nothing.
    pub(super) fn new(root: &config::Route, all_sinks: &[String], with_automation: bool) -> Self {
        let defaults = Node {
            id: String::new(),
            path: String::new(),
            matchers: Vec::new(),
            go_on: false,
            sinks: all_sinks.to_vec(),
            group_by: DEFAULT_GROUP_BY.map(str::to_owned).to_vec(),
            group_wait: 0,
            group_interval: config::Route::GROUP_INTERVAL.millis(),
            repeat_interval: config::Route::REPEAT_INTERVAL.millis(),
            digest: None,
            children: Vec::new(),
        };
        let mut tree = Self { nodes: Vec::new() };
        tree.add(root, "alerts.route", &defaults);
        if with_automation {
            let (id, path) = (AUTOMATION.to_owned(), "actions".to_owned());
            let sinks = Vec::new();
            let quick = Node { id, path, sinks, group_interval: 0, repeat_interval: 0, ..defaults };
            tree.nodes.push(quick);
        }
        tree
    }

    fn add(&mut self, route: &config::Route, path: &str, parent: &Node) -> Option<usize> {
        let matchers = parse_all(&route.matchers).ok()?;
        let millis = |own: Option<config::Span>, inherited| own.map_or(inherited, config::Span::millis);
        let index = self.nodes.len();
        let id = self.id(&parent.id, &matchers, parent.path.is_empty());
        self.nodes.push(Node {
            id,
            path: path.to_owned(),
            matchers,
            go_on: route.go_on,
            sinks: route.sinks.clone().unwrap_or_else(|| parent.sinks.clone()),
            group_by: route.group_by.clone().unwrap_or_else(|| parent.group_by.clone()),
            group_wait: millis(route.group_wait, parent.group_wait),
            group_interval: millis(route.group_interval, parent.group_interval),
            repeat_interval: millis(route.repeat_interval, parent.repeat_interval),
            digest: route.digest.map(config::Span::millis).or(parent.digest).filter(|span| *span > 0),
            children: Vec::new(),
        });
        let own = self.nodes[index].clone();
        let children = route.routes.iter().enumerate();
        let children =
            children.filter_map(|(i, child)| self.add(child, &format!("{path}.routes[{i}]"), &own));
        self.nodes[index].children = children.collect();
        Some(index)
    }

    /// Stable when routes are added or moved; routes with the same matchers are told apart by their order.
    fn id(&self, parent: &str, matchers: &[Matcher], is_root: bool) -> String {
        if is_root {
            return String::new();
        }
        let texts: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        let candidate = |n: usize| {
            let digest = Sha256::digest(format!("{parent}\n{}\n{n}", texts.join("\n")));
            digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let free = |id: &String| self.nodes.iter().all(|node| node.id != *id);
        (0..=self.nodes.len()).map(candidate).find(free).unwrap_or_default()
    }

    /// Routes in which an alert ends, in order.
    pub(super) fn find(&self, labels: &Labels) -> Vec<&Node> {
        let mut found = Vec::new();
        self.walk(0, labels, &mut found);
        let mut nodes: Vec<&Node> = found.into_iter().map(|index| &self.nodes[index]).collect();
        nodes.extend(self.nodes.last().filter(|node| node.id == AUTOMATION));
        nodes
    }

    fn walk(&self, index: usize, labels: &Labels, found: &mut Vec<usize>) -> bool {
        let Some(node) = self.nodes.get(index) else { return false };
        if !all_fit(&node.matchers, labels) {
            return false;
        }
        let before = found.len();
        for child in &node.children {
            if self.walk(*child, labels, found) && !self.nodes[*child].go_on {
                break;
            }
        }
        if found.len() == before {
            found.push(index);
        }
        true
    }

    pub(super) fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }
}

/// Where an alert with some labels would go, for `anchorwatch alerts route`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Destination {
    /// The route in the configuration.
    pub route: String,
    /// What it asks of the labels, from the root down to it.
    pub matchers: Vec<String>,
    /// Labels by which it groups.
    pub group_by: Vec<String>,
    /// Sinks that are told, after their own filters.
    pub sinks: Vec<String>,
    /// Sinks of the route whose own `kinds` or `min_severity` keep it back.
    pub filtered: Vec<String>,
    /// Length of the digest in which it is collected, in milliseconds, if it is.
    pub digest: Option<Millis>,
}

/// Where an alert with these labels goes; static labels of the configuration are added to them.
#[must_use]
pub fn explain(config: &config::Config, labels: &Labels) -> (Labels, Vec<Destination>) {
    let names: Vec<String> = config.sinks.iter().map(|sink| sink.name.clone()).collect();
    let tree = Tree::new(&config.alerts.route, &names, false);
    let mut labels = labels.clone();
    super::rules::add_static(&super::rules::label_rules(&config.alerts), &mut labels);
    let value = |name: &str| labels.get(name).map(String::as_str);
    let critical = value("severity") == Some("critical");
    let takes = |name: &String| {
        let sink = config.sinks.iter().find(|sink| sink.name == *name);
        sink.is_some_and(|sink| {
            let kind = value("kind").is_none_or(|kind| {
                sink.kinds.is_empty() || sink.kinds.iter().any(|one| one.as_str() == kind)
            });
            kind && (critical
                || value("severity").is_none()
                || sink.min_severity != Some(super::Severity::Critical))
        })
    };
    let mut found = Vec::new();
    for node in tree.find(&labels) {
        let (sinks, filtered) = node.sinks.iter().cloned().partition(takes);
        found.push(Destination {
            route: node.path.clone(),
            matchers: matchers_down_to(&tree, node),
            group_by: node.group_by.clone(),
            sinks,
            filtered,
            digest: node.digest.filter(|_| !critical),
        });
    }
    (labels, found)
}

fn matchers_down_to(tree: &Tree, node: &Node) -> Vec<String> {
    let above = tree.nodes.iter().filter(|one| {
        node.path == one.path || node.path.strip_prefix(&one.path).is_some_and(|rest| rest.starts_with('.'))
    });
    above.flat_map(|one| one.matchers.iter().map(ToString::to_string)).collect()
}
