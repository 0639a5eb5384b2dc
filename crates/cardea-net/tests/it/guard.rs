//! The address guard, the egress list and redirects (G01, G03).

use cardea_core::{Code, Error};
use cardea_net::{Egress, NetError, Redirects, Refusal, Request};
use http::Method;

use crate::world::{Far, config, get_any, net};

#[tokio::test]
async fn a_listed_target_is_reached_and_every_spelling_of_another_is_not() {
    let (listed, hidden) = (Far::start().await, Far::start().await);
    let (net, _) = net(config(&[&listed.target]));
    let answer = net.send(get_any(&listed.url("/do/work"))).await.unwrap().success().unwrap();
    assert_eq!(answer.json::<serde_json::Value>().unwrap()["good"], true);

    let port = hidden.port();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[::]",
        "169.254.169.254",
        "10.0.0.1",
        "[fe80::1]",
        "①②⑦.0.0.1",
    ];
    for host in hosts {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/do/work");
            let error = net.send(get_any(&url)).await.unwrap_err();
            assert!(matches!(error, NetError::Refused(_)), "{url}: {error}");
            assert!(!error.may_have_been_sent());
            assert_eq!(Error::from(error).code(), Code::AddressRefused);
        }
    }
    assert_eq!(hidden.reached(), 0);
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_is_refused_unless_it_is_listed_with_its_port() {
    let far = Far::start().await;
    let name = format!("localhost:{}", far.port());
    let refusal = |error: NetError| match error {
        NetError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    };
    let (strict, _) = net(config(&["localhost:1"]));
    let error = strict.send(get_any(&format!("https://{name}/do/work"))).await.unwrap_err();
    assert_eq!(refusal(error), Refusal::Resolved { name: "localhost".into(), kind: "loopback" });
    let (open, _) = net(config(&[&name]));
    assert!(open.send(get_any(&format!("http://{name}/do/work"))).await.is_ok());
    assert_eq!(far.reached(), 1);
}

#[tokio::test]
async fn a_range_opens_addresses_but_no_name_is_spoken_to_in_plain_http_for_it() {
    let far = Far::start().await;
    let (ranged, _) = net(config(&["127.0.0.0/8", "::1/128"]));
    assert!(ranged.send(get_any(&far.url("/do/work"))).await.is_ok());
    // The second name resolves to an address of the range, and the address of the third is in none.
    let inside = format!("http://localhost:{}/do/work", far.port());
    for url in ["http://example.com/", &inside, "http://10.0.0.1/"] {
        let error = ranged.send(get_any(url)).await.unwrap_err();
        assert!(matches!(error, NetError::Refused(Refusal::Scheme(_))), "{url}: {error}");
    }
    assert_eq!(far.reached(), 1);
    for url in
        ["ftp://example.com/", "file:///etc/passwd", "https://user:pw@example.com/", "nonsense", "https://"]
    {
        let sent = match Request::get(url, Egress::any()) {
            Ok(request) => ranged.send(request).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(matches!(sent, Err(NetError::Refused(_))), "{url}");
    }
}

#[tokio::test]
async fn a_request_reaches_only_the_hosts_it_names() {
    let (mine, other) = (Far::start().await, Far::start().await);
    let (net, _) = net(config(&[&mine.target, &other.target]));
    let only_mine = Egress::hosts([mine.target.as_str()]);
    assert!(net.send(Request::get(&mine.url("/do/work"), only_mine.clone()).unwrap()).await.is_ok());
    let error = net.send(Request::get(&other.url("/do/work"), only_mine).unwrap()).await.unwrap_err();
    assert!(matches!(error, NetError::Refused(Refusal::Egress(_))), "{error}");
    assert_eq!(other.reached(), 0);
}

#[tokio::test]
async fn a_redirect_is_followed_only_when_asked_and_only_to_the_same_origin() {
    let (far, hidden) = (Far::start().await, Far::start().await);
    let (net, _) = net(config(&[&far.target]));
    let follow = |path: &str| get_any(&far.url(path)).redirects(Redirects::SameOrigin);

    let plain = net.send(get_any(&far.url("/to//do/work"))).await.unwrap();
    assert_eq!(plain.status, 302, "handed over as it is");
    let same = net.send(follow("/to//do/work")).await.unwrap();
    assert_eq!(same.status, 200);

    for target in [
        hidden.url("/do/work"),
        format!("//{}/do/work", hidden.target),
        "http://169.254.169.254/latest".to_owned(),
        format!("https://{}/do/work", far.target),
        format!("http://user:pw@{}/do/work", far.target),
        "file:///etc/passwd".to_owned(),
    ] {
        let error = net.send(follow(&format!("/to/{target}"))).await.unwrap_err();
        assert!(matches!(error, NetError::Refused(Refusal::Redirect)), "{target}: {error}");
    }
    assert_eq!(hidden.reached(), 0);

    let before = far.reached();
    let error = net.send(follow("/to//to//to//to//to//do/work")).await.unwrap_err();
    assert!(matches!(error, NetError::Refused(Refusal::Redirect)), "{error}");
    assert_eq!(far.reached() - before, 4, "the request and three hops");
    let post = Request::new(Method::POST, &far.url("/to//do/work"), Egress::any()).unwrap();
    let answer = net.send(post.redirects(Redirects::SameOrigin)).await.unwrap();
    assert_eq!(answer.status, 302, "a write is never sent twice");
}
