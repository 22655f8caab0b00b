//! A success and a failure below reach the caller unchanged.

use tower_service::Service;

use super::super::{
    course::{Course, PlantedFailure},
    probe::{Fault, Probe},
};
use crate::{BoxError, Rule, Violation, drive::Driven};

pub(in super::super) async fn responses_pass_through<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    let result = reply(probe, Course::SMOOTH).await?;
    match result.map(|response| probe.read(response)) {
        // The first response of the inner service has the number 0.
        Ok(0) => {}
        Ok(number) => return broken(format!("response 0 of the inner service became {number}")),
        Err(fault) => {
            return broken(format!("the inner service succeeded, yet the call failed: {fault}"));
        }
    }
    match reply(probe, Course::FAILING).await? {
        Ok(_) => broken("the inner service failed, yet the call succeeded".to_owned()),
        Err(error) if PlantedFailure::is_found_in(&*error) => Ok(()),
        Err(error) => broken(format!(
            "the error of the inner service is neither in the text nor among the sources of the \
             error that the caller gets: {error}"
        )),
    }
}

async fn reply<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    course: Course,
) -> Result<Result<S::Response, BoxError>, Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    let world = probe.world(course);
    let what = format!("a single call, {course}");
    let mut call = Driven::new(probe.call(world.caller()));
    let result = probe.finish(&world, &mut call, Rule::CallsFinish, &what).await?;
    Ok(result.map_err(Fault::error))
}

fn broken(seen: String) -> Result<(), Violation> {
    Err(Violation::new(Rule::ResponsesPassThrough, seen))
}
