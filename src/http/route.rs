//! Which call a path and a method are. The one table of the public port; the OpenAPI document is written from it.

use super::problem::{Code, Problem};
use super::query::{decoded, shortened};
use super::representation::Representation::{self, Bytes, Json, Lines, Text};
use hyper::Method;
use std::borrow::Cow;

/// Everything there is to ask for, on either port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    Index,
    OpenApi,
    Health,
    RegionHealth,
    Id,
    Ids,
    Ranges,
    Decode,
    Metrics,
    Live,
    Ready,
    Drain,
    Undrain,
    /// Nothing is there.
    Unknown,
}

impl Route {
    pub fn name(self) -> &'static str {
        match self {
            Route::Index => "index",
            Route::OpenApi => "openapi",
            Route::Health => "health",
            Route::RegionHealth => "region_health",
            Route::Id => "id",
            Route::Ids => "ids",
            Route::Ranges => "ranges",
            Route::Decode => "decode",
            Route::Metrics => "metrics",
            Route::Live => "livez",
            Route::Ready => "readyz",
            Route::Drain => "drain",
            Route::Undrain => "undrain",
            Route::Unknown => "unknown",
        }
    }

    /// Judges; answered to everybody, however full the node is.
    pub fn is_health(self) -> bool {
        matches!(self, Route::Health | Route::RegionHealth)
    }

    /// Makes ids: needs a permit, and its outcome counts for health.
    pub fn makes_ids(self) -> bool {
        matches!(self, Route::Id | Route::Ids | Route::Ranges)
    }
}

/// One call of a port.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub route: Route,
    /// The last segment may be a parameter in braces.
    pub path: &'static str,
    /// As the `Allow` header has them.
    pub methods: &'static str,
    /// Chosen from by `Accept`, best first; empty: there is one representation, whatever is accepted.
    pub offered: &'static [Representation],
    pub summary: &'static str,
}

const READ: &str = "GET, HEAD";
const ORDER: &str = "POST";
const MAKE: &str = "GET, HEAD, POST";

/// What is asked for most.
pub const ONE: &Call =
    &Call { route: Route::Id, path: "/api/v1/id", methods: MAKE, offered: &[Json, Text], summary: "Make one id" };

/// The public port.
pub const PUBLIC: &[Call] = &[
    *ONE,
    Call {
        route: Route::Ids,
        path: "/api/v1/ids",
        methods: MAKE,
        offered: &[Json, Lines, Text, Bytes],
        summary: "Make several ids, ascending",
    },
    Call {
        route: Route::Ranges,
        path: "/api/v1/ranges",
        methods: MAKE,
        offered: &[Json],
        summary: "Make many ids, as runs of consecutive ones",
    },
    Call {
        route: Route::Decode,
        path: "/api/v1/ids/{id}",
        methods: READ,
        offered: &[Json],
        summary: "Say when and where an id was made",
    },
    Call {
        route: Route::Health,
        path: "/api/v1/health",
        methods: READ,
        offered: &[],
        summary: "Say whether this node wants traffic: 200 or 503",
    },
    Call {
        route: Route::RegionHealth,
        path: "/api/v1/region/health",
        methods: READ,
        offered: &[],
        summary: "Say whether this region wants traffic, for GeoDNS: 200 or 503",
    },
    Call { route: Route::OpenApi, path: "/openapi.json", methods: READ, offered: &[], summary: "This API, described" },
    Call { route: Route::Index, path: "/", methods: READ, offered: &[], summary: "What is here" },
];

/// The operations port.
pub const OPERATIONS: &[Call] = &[
    Call { route: Route::Metrics, path: "/metrics", methods: READ, offered: &[], summary: "OpenMetrics text" },
    Call { route: Route::Live, path: "/livez", methods: READ, offered: &[], summary: "The process turns its loop" },
    Call { route: Route::Ready, path: "/readyz", methods: READ, offered: &[], summary: "This node can issue ids now" },
    Call {
        route: Route::Drain,
        path: "/admin/drain",
        methods: ORDER,
        offered: &[],
        summary: "Drain this node's region: ?reason=TEXT[&by=NAME][&force=true]",
    },
    Call {
        route: Route::Undrain,
        path: "/admin/undrain",
        methods: ORDER,
        offered: &[],
        summary: "End the drain of this node's region",
    },
    Call { route: Route::Index, path: "/", methods: READ, offered: &[], summary: "What is here" },
];

/// A call, and the text of its path's parameter.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    pub call: &'static Call,
    pub parameter: Cow<'a, str>,
}

/// The call of a path, or a 404 that names the nearest path.
pub fn find<'a>(calls: &'static [Call], path: &'a str) -> Result<Found<'a>, Problem> {
    if let Some(call) = calls.iter().find(|call| call.path == path) {
        return Ok(Found { call, parameter: Cow::Borrowed("") });
    }
    for call in calls {
        let prefix = call.path.split('{').next().unwrap_or_default();
        if prefix.len() == call.path.len() {
            continue;
        }
        if let Some(parameter) = path.strip_prefix(prefix).filter(|rest| !rest.is_empty() && !rest.contains('/')) {
            return Ok(Found { call, parameter: decoded(parameter) });
        }
    }
    let wanted: String = path.chars().take(100).collect();
    let near = calls
        .iter()
        .map(|call| (strsim::osa_distance(&wanted, call.path), call.path))
        .min()
        .filter(|(distance, nearest)| *distance <= 1.max(nearest.len() * 2 / 5));
    let hint = match near {
        Some((_, nearest)) => format!("did you mean {nearest}?"),
        None => "GET / lists what is here".to_owned(),
    };
    Err(Problem::new(Code::UnknownPath, format!("there is no {}; {hint}", shortened(path))))
}

impl Call {
    /// Whether the call has this method; else a 405 that says which it has.
    pub fn allows(&self, method: &Method) -> Result<(), Problem> {
        let reads = *method == Method::GET && self.methods.starts_with(READ);
        if reads || self.methods.split(',').any(|allowed| allowed.trim_start() == method.as_str()) {
            return Ok(());
        }
        let mut problem = Problem::new(
            Code::MethodNotAllowed,
            format!("{} has no {}; use {}", self.path, shortened(method.as_str()), self.methods),
        );
        problem.allow = Some(self.methods);
        Err(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expect: Result<(Route, &str), &str>) {
        match (find(PUBLIC, path), expect) {
            (Ok(found), Ok((route, parameter))) => {
                assert_eq!((found.call.route, &*found.parameter), (route, parameter), "{path}");
            }
            (Err(problem), Err(hint)) => assert!(problem.detail.contains(hint), "{path}: {}", problem.detail),
            (found, _) => panic!("{path}: {found:?}"),
        }
    }

    #[test]
    fn paths() {
        check("/", Ok((Route::Index, "")));
        check("/api/v1/ids", Ok((Route::Ids, "")));
        check("/api/v1/ids/12", Ok((Route::Decode, "12")));
        check("/api/v1/ids/%31%32", Ok((Route::Decode, "12")));
        check("/api/v1/ids/", Err("did you mean /api/v1/ids?"));
        check("/api/v1/ids/1/2", Err("did you mean /api/v1/ids"));
        check("/api/v1/idz", Err("did you mean /api/v1/id"));
        check("/api/v1/region/health", Ok((Route::RegionHealth, "")));
        check("/api/v1/regionhealth", Err("did you mean /api/v1/region/health?"));
        check("/api/v1/helth", Err("did you mean /api/v1/health?"));
        check("/favicon.ico.and.something.long", Err("GET / lists"));
        check(&"/x".repeat(30_000), Err("GET / lists"));
        check("", Err("did you mean /?"));
    }
}
