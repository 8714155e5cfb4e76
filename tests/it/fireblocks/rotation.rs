//! The token's key that seals API keys rotates.

use anyhow::{Result, ensure};
use countersign_tests::client::Credential;
use countersign_tests::gateway::Gateway;
use countersign_tests::main_job::text;
use countersign_tests::wait;

use super::{API_KEY, DEADLINE, Scene};

const ROTATED: &str = "[core.secrets]\nkey_epoch = 2\n";
const FORGOTTEN: &str = "[core.secrets]\nkey_epoch = 2\noldest_key_epoch = 2\n";

async fn opens(scene: &Scene, gateway: &Gateway) -> Result<()> {
    let path = format!("/fireblocks/config/execution/{}", scene.stand.wallet.address());
    let agent = Credential::ApiKey(&gateway.bootstrap.agent_api_key);
    let config = gateway.client().get(&path, agent).await?.expect(200)?;
    ensure!(text(&config, "apiKey")? == API_KEY, "{config}");
    Ok(())
}

#[tokio::test]
async fn the_key_that_seals_api_keys_rotates_and_what_it_sealed_is_sealed_anew() -> Result<()> {
    let scene = Scene::new().await?;
    let installation = &scene.stand.installation;
    let gateway = installation.start().await?;
    scene.integrate(&gateway).await?;
    assert!(gateway.stop().await?.success());

    installation.configure(FORGOTTEN)?;
    let refused = installation.start().await.err().map(|error| format!("{error:#}"));
    let refused = refused.unwrap_or_default();
    assert!(refused.contains("1 Fireblocks API keys are sealed under rotations before"), "{refused}");

    installation.configure(ROTATED)?;
    let gateway = installation.start().await?;
    opens(&scene, &gateway).await?;
    wait::until("the API key is sealed anew", DEADLINE, async || {
        let told = gateway.output();
        Ok((told.contains("sealed Fireblocks API keys anew") && told.contains("left=0")).then_some(()))
    })
    .await?;
    opens(&scene, &gateway).await?;
    assert!(gateway.stop().await?.success());

    installation.configure(FORGOTTEN)?;
    let gateway = installation.start().await?;
    opens(&scene, &gateway).await?;
    scene.validate(&gateway).await?.expect(200)?;
    scene.check_requests()?;
    scene.stand.finish(gateway).await
}
