use sandtower_core::{BoxError, Tenant};
use sandtower_e2b::{Client, Command, Sandbox};
use sandtower_pool::Session;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

use crate::world::{World, base, pass, sim, three};

type Http = BoxCloneSyncService<
    http::Request<http_body_util::Full<bytes::Bytes>>,
    http::Response<sandtower_http::Interpreted<sandtower_sim::Body>>,
    BoxError,
>;

/// A world whose sandboxes are used three times at most by one session.
async fn world() -> World {
    let world = World::over(sim(), "w", three().max(6).reuse(3), |builder| {
        builder.clean(|hooked| async move {
            hooked.client.run(&hooked.sandbox, &Command::new("rm -rf /home/user/secret")).await?;
            Ok(())
        })
    });
    world.stocked(10).await
}

/// A client for the session `key` of a tenant.
fn caller(world: &World, tenant: u64, key: Option<&'static str>) -> Client<Http> {
    let service = ServiceBuilder::new()
        .map_request(move |mut request: http::Request<_>| {
            request.extensions_mut().insert(Tenant::new(tenant));
            key.map(|key| request.extensions_mut().insert(Session::new(key)));
            request
        })
        .service(world.service.clone());
    Client::new(BoxCloneSyncService::new(service), world.e2b.clone())
}

async fn has_secret(client: &Client<Http>, sandbox: &Sandbox) -> bool {
    let output = client.run(sandbox, &Command::new("cat /home/user/secret")).await.unwrap();
    output.exit_code == 0
}

#[tokio::test(start_paused = true)]
async fn a_session_gets_its_own_sandbox_again_cleaned_and_so_often() {
    let world = world().await;
    let mine = caller(&world, 1, Some("mine"));
    let mut ids = Vec::new();
    for _ in 0..4 {
        let sandbox = mine.create(&base()).await.unwrap();
        assert!(!has_secret(&mine, &sandbox).await);
        mine.run(&sandbox, &Command::new("echo s > /home/user/secret")).await.unwrap();
        assert!(mine.kill(sandbox.id()).await.unwrap());
        ids.push(sandbox.id().clone());
        pass(5).await;
    }
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    assert_eq!(world.snapshot().reused, 2);
}

#[tokio::test(start_paused = true)]
async fn no_other_session_and_no_other_tenant_ever_gets_it() {
    let world = world().await;
    let mine = caller(&world, 1, Some("mine"));
    let sandbox = mine.create(&base()).await.unwrap();
    mine.kill(sandbox.id()).await.unwrap();
    pass(5).await;
    assert!(mine.info(sandbox.id()).await.is_ok(), "it is kept");
    for (tenant, key) in [(1, Some("other")), (2, Some("mine")), (1, None), (2, None)] {
        let other = caller(&world, tenant, key);
        // More than there are in stock.
        for _ in 0..8 {
            let got = other.create(&base()).await.unwrap();
            assert_ne!(got.id(), sandbox.id(), "tenant {tenant}, session {key:?}");
        }
    }
    let again = mine.create(&base()).await.unwrap();
    assert_eq!(again.id(), sandbox.id());
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_cannot_be_cleaned_is_killed() {
    let world = World::over(sim(), "w", three().max(6).reuse(3), |builder| {
        builder.clean(|_| async { Err("it is not clean".into()) })
    });
    let world = world.stocked(10).await;
    let mine = caller(&world, 1, Some("mine"));
    let sandbox = mine.create(&base()).await.unwrap();
    assert!(mine.kill(sandbox.id()).await.unwrap());
    assert!(mine.info(sandbox.id()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn without_reuse_a_kill_is_a_kill() {
    let world = World::new(three()).stocked(10).await;
    let mine = caller(&world, 1, Some("mine"));
    let sandbox = mine.create(&base()).await.unwrap();
    mine.kill(sandbox.id()).await.unwrap();
    assert!(mine.info(sandbox.id()).await.is_err());
}
