//! Every endpoint there is: its methods, its path, and the operation it stands for. The router reads this table, and
//! the tests hold `api-spec/v1.yaml` and `v2.yaml` to it in both directions.

use http::Method;

use super::{AnyCall, CallRef, Managed, Operation, RouteRef, cut};

/// The first that fits a request is its endpoint; no two fit the same one.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    // First, because it is what the server is asked most.
    any("/r/{app}/{route}", |taken| Operation::Invoke { app: taken.app(), rest: Some(taken.route) }),
    any("/r/{app}", |taken| Operation::Invoke { app: taken.app(), rest: None }).with_name(),
    on(Method::POST, "/invoke/{fn_id}", |taken| Operation::InvokeFn(taken.id)),
    any("/t/{app_name}/{source}", |taken| Operation::CallTrigger { app: taken.app(), source: taken.route }),
    any("/t/{app_name}", |taken| Operation::CallTrigger { app: taken.app(), source: "/" }),
    get("/", |_| Operation::Root),
    get("/version", |_| Operation::Version),
    get("/stats", |_| Operation::Stats),
    get("/metrics", |_| Operation::Metrics),
    get("/live", |_| Operation::Live),
    get("/ready", |_| Operation::Ready),
    get("/v1/openapi.yaml", |_| Operation::OpenApi),
    get("/v1/apps", |_| Operation::ListApps),
    on(Method::POST, "/v1/apps", |_| Operation::CreateApp),
    // Without a name it is the list with a slash too many.
    get("/v1/apps/{app}", |taken| Operation::GetApp(taken.app())).with_name(),
    on(Method::PATCH, "/v1/apps/{app}", |taken| Operation::UpdateApp(taken.app())),
    on(Method::DELETE, "/v1/apps/{app}", |taken| Operation::DeleteApp(taken.app())),
    get("/v1/apps/{app}/routes", |taken| Operation::ListRoutes(taken.app())),
    on(Method::POST, "/v1/apps/{app}/routes", |taken| Operation::CreateRoute(taken.app())),
    get("/v1/apps/{app}/routes/{route}", |taken| Operation::GetRoute(taken.route())),
    on(Method::PUT, "/v1/apps/{app}/routes/{route}", |taken| Operation::PutRoute(taken.route())),
    on(Method::PATCH, "/v1/apps/{app}/routes/{route}", |taken| Operation::UpdateRoute(taken.route())),
    on(Method::DELETE, "/v1/apps/{app}/routes/{route}", |taken| Operation::DeleteRoute(taken.route())),
    get("/v1/apps/{app}/calls", |taken| Operation::ListCalls(taken.app())),
    get("/v1/apps/{app}/calls/{call}", |taken| Operation::GetCall(taken.call())),
    on(Method::DELETE, "/v1/apps/{app}/calls/{call}", |taken| Operation::CancelCall(taken.call())),
    get("/v1/apps/{app}/calls/{call}/log", |taken| Operation::GetLog(taken.call())),
    get("/v1/apps/{app}/dead-calls", |taken| Operation::ListDeadCalls(taken.app())),
    on(Method::POST, "/v1/apps/{app}/dead-calls/{call}/redrive", |taken| Operation::RedriveCall(taken.call())),
    on(Method::GET, "/v2/openapi.yaml", |_| Operation::V2(Managed::OpenApi)),
    on(Method::GET, "/v2/apps", |_| Operation::V2(Managed::ListApps)),
    on(Method::POST, "/v2/apps", |_| Operation::V2(Managed::CreateApp)),
    on(Method::GET, "/v2/apps/{app_id}", |taken| Operation::V2(Managed::GetApp(taken.id))),
    on(Method::PUT, "/v2/apps/{app_id}", |taken| Operation::V2(Managed::UpdateApp(taken.id))),
    on(Method::DELETE, "/v2/apps/{app_id}", |taken| Operation::V2(Managed::DeleteApp(taken.id))),
    on(Method::GET, "/v2/apps/{app_id}/calls", |taken| Operation::V2(Managed::ListAppCalls(taken.id))),
    on(Method::GET, "/v2/apps/{app_id}/calls/{call_id}", |taken| Operation::V2(Managed::GetAppCall(taken.any_call()))),
    on(Method::DELETE, "/v2/apps/{app_id}/calls/{call_id}", |taken| {
        Operation::V2(Managed::CancelAppCall(taken.any_call()))
    }),
    on(Method::GET, "/v2/apps/{app_id}/calls/{call_id}/log", |taken| {
        Operation::V2(Managed::GetAppLog(taken.any_call()))
    }),
    on(Method::GET, "/v2/fns", |_| Operation::V2(Managed::ListFns)),
    on(Method::POST, "/v2/fns", |_| Operation::V2(Managed::CreateFn)),
    on(Method::GET, "/v2/fns/{fn_id}", |taken| Operation::V2(Managed::GetFn(taken.id))),
    on(Method::PUT, "/v2/fns/{fn_id}", |taken| Operation::V2(Managed::UpdateFn(taken.id))),
    on(Method::DELETE, "/v2/fns/{fn_id}", |taken| Operation::V2(Managed::DeleteFn(taken.id))),
    on(Method::GET, "/v2/fns/{fn_id}/calls", |taken| Operation::V2(Managed::ListFnCalls(taken.id))),
    on(Method::GET, "/v2/fns/{fn_id}/calls/{call_id}", |taken| Operation::V2(Managed::GetFnCall(taken.any_call()))),
    on(Method::DELETE, "/v2/fns/{fn_id}/calls/{call_id}", |taken| {
        Operation::V2(Managed::CancelFnCall(taken.any_call()))
    }),
    on(Method::GET, "/v2/fns/{fn_id}/calls/{call_id}/log", |taken| Operation::V2(Managed::GetFnLog(taken.any_call()))),
    on(Method::GET, "/v2/triggers", |_| Operation::V2(Managed::ListTriggers)),
    on(Method::POST, "/v2/triggers", |_| Operation::V2(Managed::CreateTrigger)),
    on(Method::GET, "/v2/triggers/{trigger_id}", |taken| Operation::V2(Managed::GetTrigger(taken.id))),
    on(Method::PUT, "/v2/triggers/{trigger_id}", |taken| Operation::V2(Managed::UpdateTrigger(taken.id))),
    on(Method::DELETE, "/v2/triggers/{trigger_id}", |taken| Operation::V2(Managed::DeleteTrigger(taken.id))),
];

/// The same for the door of operators.
pub(super) static ADMIN_ENDPOINTS: &[Endpoint] = &[
    get("/version", |_| Operation::Version),
    get("/stats", |_| Operation::Stats),
    get("/metrics", |_| Operation::Metrics),
    get("/live", |_| Operation::Live),
    get("/ready", |_| Operation::Ready),
    get("/log-level", |_| Operation::GetLogLevel),
    on(Method::PUT, "/log-level", |_| Operation::SetLogLevel),
];

/// One endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) methods: Methods,
    /// As in OpenAPI. `{app}` is one segment and may be empty, `{route}` and `{source}` are all that is left, and other
    /// parameters are one segment that is not empty.
    pub(super) template: &'static str,
    pub(super) operation: for<'p> fn(Taken<'p>) -> Operation<'p>,
    /// Where an empty `{app}` means that this is not the endpoint; elsewhere it is a mistake in the request.
    needs_name: bool,
}

/// The methods of an endpoint.
#[derive(Debug)]
pub(super) enum Methods {
    /// GET, and HEAD with it.
    Get,
    One(Method),
    /// Those that a function may be called with.
    Any,
}

/// What the parameters of a template stand for in one path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken<'p> {
    /// None when the template does not name one.
    pub(super) app: Option<&'p str>,
    /// With the slash before it.
    pub(super) route: &'p str,
    call: &'p str,
    /// That of API v2, of whatever has one.
    pub(super) id: &'p str,
}

type Make = for<'p> fn(Taken<'p>) -> Operation<'p>;

const fn get(template: &'static str, operation: Make) -> Endpoint {
    Endpoint { methods: Methods::Get, template, operation, needs_name: false }
}

const fn on(method: Method, template: &'static str, operation: Make) -> Endpoint {
    Endpoint { methods: Methods::One(method), template, operation, needs_name: false }
}

const fn any(template: &'static str, operation: Make) -> Endpoint {
    Endpoint { methods: Methods::Any, template, operation, needs_name: false }
}

// === impl Endpoint ===

impl Endpoint {
    const fn with_name(mut self) -> Self {
        self.needs_name = true;
        self
    }

    /// What `path` puts in place of the parameters, if it has this endpoint's form.
    pub(super) fn take<'p>(&self, path: &'p str) -> Option<Taken<'p>> {
        let mut taken = Taken::default();
        let (mut rest, mut template) = (path, self.template);
        while let Some(parts) = template.strip_prefix('/') {
            let (part, further) = cut(parts);
            template = further;
            if part == "{route}" || part == "{source}" {
                taken.route = rest;
                return rest.starts_with('/').then_some(taken);
            }
            let (segment, after) = cut(rest.strip_prefix('/')?);
            match part {
                "{app}" => taken.app = Some(segment),
                "{app_name}" if !segment.is_empty() => taken.app = Some(segment),
                "{call}" | "{call_id}" if !segment.is_empty() => taken.call = segment,
                "{app_id}" | "{fn_id}" | "{trigger_id}" if !segment.is_empty() => taken.id = segment,
                name if name == segment => {}
                _ => return None,
            }
            rest = after;
        }
        let missed = self.needs_name && taken.app == Some("");
        (rest.is_empty() && !missed).then_some(taken)
    }
}

// === impl Methods ===

impl Methods {
    pub(super) fn include(&self, method: &Method) -> bool {
        match self {
            Self::Get => matches!(*method, Method::GET | Method::HEAD),
            Self::One(one) => one == method,
            Self::Any => Self::ALL.contains(method),
        }
    }

    /// The standard methods; a function cannot be called with others.
    pub(super) const ALL: [Method; 9] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::HEAD,
        Method::OPTIONS,
        Method::DELETE,
        Method::CONNECT,
        Method::TRACE,
    ];
}

// === impl Taken ===

impl<'p> Taken<'p> {
    fn app(self) -> &'p str {
        self.app.unwrap_or_default()
    }

    fn route(self) -> RouteRef<'p> {
        RouteRef { app: self.app(), path: self.route }
    }

    fn any_call(self) -> AnyCall<'p> {
        AnyCall { of: self.id, call: self.call }
    }

    fn call(self) -> CallRef<'p> {
        CallRef { app: self.app(), call: self.call }
    }
}
