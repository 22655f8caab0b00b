use sandtower_core::Resource;

/// What failed lately, so that one resource that fails again and again is not taken for an outage of
/// the service.
///
/// A failure of a resource that is among the last two that failed is no further evidence. A failure
/// that names no resource always is. Two are remembered, since a trip needs three resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// The one that failed last comes first.
    last: [Option<Resource>; 2],
    several: bool,
}

impl Sources {
    /// Notes a failure; returns whether it is evidence.
    pub(crate) fn failed(&mut self, resource: Option<Resource>) -> bool {
        if resource.is_none() {
            self.several = true;
            return true;
        }
        let [first, second] = self.last;
        if resource == first {
            return false;
        }
        self.last = [resource, first];
        if resource == second {
            return false;
        }
        self.several |= second.is_some();
        true
    }

    /// Whether the failures concern the service: three resources failed, or a request that names none.
    pub(crate) fn are_several(&self) -> bool {
        self.several
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(ids: &[u64]) -> (usize, bool) {
        let mut sources = Sources::default();
        let resource = |id| (id != 0).then(|| Resource::new(id));
        let evidence = ids.iter().filter(|&&id| sources.failed(resource(id))).count();
        (evidence, sources.are_several())
    }

    #[test]
    fn one_or_two_resources_are_evidence_once_each_and_never_several() {
        assert_eq!(failed(&[1; 100]), (1, false));
        assert_eq!(failed(&[1, 2].repeat(50)), (2, false));
        assert_eq!(failed(&[1, 1, 2, 2, 1, 1]), (2, false));
    }

    #[test]
    fn three_resources_and_failures_that_name_none_are_evidence_each_time() {
        assert_eq!(failed(&[1, 2, 3].repeat(10)), (30, true));
        assert_eq!(failed(&[0; 10]), (10, true));
        assert_eq!(failed(&[1, 1, 1, 0]), (2, true));
    }

    #[test]
    fn the_resource_that_fails_all_the_time_is_not_forgotten_for_one_that_fails_once() {
        assert_eq!(failed(&[1, 1, 2, 1, 1, 3, 1, 1, 4, 1]), (4, true));
    }
}
