// A response classifier that does not know the info of its request.

use sandtower::core::{BoxError, ClassifyResponse, Verdict};

struct Status;

impl ClassifyResponse<u16> for Status {
    fn classify(&self, _result: Result<&u16, &BoxError>) -> Verdict {
        Verdict::success()
    }
}

fn main() {}
