//! The operator's floors: each knows only those below it, and no file knows itself through others. The sources are read by `syn`;
//! what is there for tests alone does not count.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources must fail")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Item, ItemMod, UseTree,
    visit::{self, Visit},
};

/// From the lowest to the highest.
const FLOORS: [&[&str]; 9] = [
    &["runtime"],
    &["model"],
    &["options", "installation"],
    &["outbound"],
    &["state"],
    &["resolve"],
    &["probes"],
    &["controllers"],
    &["release", "run"],
];

/// The kinds, none of which the lowest floor knows.
const KINDS: [&str; 6] =
    ["OktaOrg", "TelephonyHook", "TelephonyGateway", "TelephonyProvider", "RoutingPolicy", "HookSwitch"];

/// Who may be given everything: what wires it, and the top of each controller.
fn may_have_everything(module: &Module) -> bool {
    let module: Vec<&str> = module.iter().map(String::as_str).collect();
    matches!(*module, ["run"] | ["controllers", _] | ["controllers", "org", "reconciliation"])
}

/// A module of the operator, by its path below `operator`.
type Module = Vec<String>;

/// What a module names, each by its whole path below `operator`; every path as it is written; and every last name of a path.
#[derive(Default)]
struct Named {
    within: BTreeSet<Vec<String>>,
    paths: BTreeSet<Vec<String>>,
    words: BTreeSet<String>,
}

/// The modules of a folder with their files, those of tests left out.
fn modules(folder: &Path, at: &Module, found: &mut BTreeMap<Module, PathBuf>) {
    let file = if at.is_empty() || folder.join("mod.rs").exists() {
        folder.join("mod.rs")
    } else {
        folder.with_extension("rs")
    };
    for item in syn::parse_file(&fs::read_to_string(&file).unwrap()).unwrap().items {
        let Item::Mod(ItemMod { attrs, ident, content: None, .. }) = item else { continue };
        if is_for_tests(&attrs) {
            continue;
        }
        let child: Module = at.iter().cloned().chain([ident.to_string()]).collect();
        modules(&folder.join(ident.to_string()), &child, found);
    }
    found.insert(at.clone(), file);
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let is_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    };
    attributes.iter().any(is_test)
}

/// Reads what a file names.
struct Reader<'m> {
    module: &'m Module,
    named: Named,
}

impl Reader<'_> {
    fn take(&mut self, path: &[String]) {
        if let Some(last) = path.last() {
            self.named.words.insert(last.clone());
        }
        self.named.paths.insert(path.to_vec());
        let (mut base, mut rest) = (self.module.clone(), path);
        match rest.first().map(String::as_str) {
            Some("crate") if rest.get(1).is_some_and(|name| name == "operator") => {
                (base, rest) = (Vec::new(), &rest[2..]);
            }
            Some("self") => rest = &rest[1..],
            Some("super") => {
                while rest.first().is_some_and(|name| name == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            _ => return,
        }
        self.named.within.insert(base.into_iter().chain(rest.iter().cloned()).collect());
    }

    fn tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: String| -> Vec<String> { before.iter().cloned().chain([name]).collect() };
        match tree {
            UseTree::Path(path) => self.tree(&with(path.ident.to_string()), &path.tree),
            UseTree::Name(name) if name.ident == "self" => self.take(before),
            UseTree::Name(name) => self.take(&with(name.ident.to_string())),
            UseTree::Rename(name) => self.take(&with(name.ident.to_string())),
            UseTree::Glob(_) => self.take(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    /// `pub(super)` names nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_use_tree(&mut self, tree: &'ast UseTree) {
        self.tree(&[], tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.take(&path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>());
        visit::visit_path(self, path);
    }
}

/// The sources of the operator: each module with what it names, and the modules that it names.
fn operator() -> BTreeMap<Module, (Named, BTreeSet<Module>)> {
    let mut files = BTreeMap::new();
    modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/operator"), &Vec::new(), &mut files);
    let read = |(module, file): (&Module, &PathBuf)| {
        let mut reader = Reader { module, named: Named::default() };
        reader.visit_file(&syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap());
        let owner = |path: &Vec<String>| {
            let mut path = path.clone();
            while !files.contains_key(&path) {
                path.pop();
            }
            path
        };
        let known: BTreeSet<Module> = reader.named.within.iter().map(owner).filter(|known| known != module).collect();
        (module.clone(), (reader.named, known))
    };
    files.iter().map(read).collect()
}

fn floor(module: &Module) -> Option<usize> {
    let top = module.first()?;
    FLOORS.iter().position(|floor| floor.contains(&top.as_str()))
}

#[test]
fn no_floor_knows_a_higher_one() {
    let operator = operator();
    assert!(operator.len() > 80, "is everything read? {}", operator.len());
    for (module, (_, known)) in operator.iter().filter(|(module, _)| !module.is_empty()) {
        let own = floor(module).unwrap_or_else(|| panic!("say on which floor {module:?} is"));
        let higher: Vec<&Module> = known.iter().filter(|known| floor(known).is_some_and(|floor| floor > own)).collect();
        assert!(higher.is_empty(), "{}: hand in what it needs of {higher:?}, or move that down", module.join("::"));
    }
}

#[test]
fn no_file_knows_itself_through_others() {
    let operator = operator();
    let mut left: BTreeMap<&Module, BTreeSet<&Module>> =
        operator.iter().map(|(module, (_, known))| (module, known.iter().collect())).collect();
    // who knows nobody that is left is in no circle, and neither is whom nobody knows that is left
    loop {
        let known: BTreeSet<&Module> = left.values().flatten().copied().collect();
        let is_free = |module: &Module, knows: &BTreeSet<&Module>| {
            !known.contains(module) || knows.iter().all(|known| !left.contains_key(known))
        };
        let free: BTreeSet<&Module> =
            left.iter().filter(|(module, knows)| is_free(module, knows)).map(|(module, _)| *module).collect();
        if free.is_empty() {
            break;
        }
        left.retain(|module, _| !free.contains(module));
    }
    let circle: Vec<String> = left.keys().map(|module| module.join("::")).collect();
    assert_eq!(circle, [""; 0], "these know each other: move what they share below both");
}

#[test]
fn the_lowest_floor_knows_no_kind_of_ours() {
    for (module, (named, _)) in operator().iter().filter(|(module, _)| floor(module) == Some(0)) {
        let known: Vec<&str> = KINDS.into_iter().filter(|kind| named.words.contains(*kind)).collect();
        assert_eq!(known, [""; 0], "{}: be generic over the kind", module.join("::"));
    }
}

#[test]
fn only_the_top_of_a_controller_is_given_everything() {
    for (module, (named, _)) in operator() {
        let everything: Vec<String> = ["controllers", "context", "Context"].map(str::to_owned).into();
        assert!(
            !named.within.contains(&everything) || may_have_everything(&module),
            "{}: name what it needs in its signature",
            module.join("::")
        );
    }
}

/// `runtime/watch.rs` alone says how a watch is configured; `watch_object` of kube's would configure one by itself.
#[test]
fn everything_of_the_operator_is_watched_one_way() {
    let configures = |named: &Named| {
        let is_config = |path: &Vec<String>| path.windows(2).any(|pair| pair == ["watcher", "Config"]);
        named.paths.iter().any(is_config)
            || named.words.contains("watch_object")
            || named.words.contains("watch_metadata")
    };
    let found: Vec<String> =
        operator().iter().filter(|(_, (named, _))| configures(named)).map(|(module, _)| module.join("::")).collect();
    assert_eq!(found, ["runtime::watch"], "take `runtime::watch::config`, and begin watches by `runtime::watch`");
}
