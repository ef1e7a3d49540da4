package sump

// Report says what became of a batch: an event that is neither refused nor past the stop is written. The zero value
// says that all are.
type Report struct {
	refused   []refusal
	stopped   bool
	stoppedAt int
}

type refusal struct {
	failure *Error
	events  []uint32
}

// searched is how many groups of equal failures are searched for one to join.
const searched = 32

// Refuse says that event i failed. Without an [Error] in its chain err is unknown, code "uncaught".
//
// A halt is about the sink and belongs into the error of the whole write: for one event the runtime takes it as
// rejected.
func (r *Report) Refuse(i int, err error) {
	failure := outcome(err, KindUnknown, "uncaught")
	for group := len(r.refused) - 1; group >= max(0, len(r.refused)-searched); group-- {
		known := r.refused[group].failure
		if known == failure || (known.Kind == failure.Kind && known.Code == failure.Code && known.After == failure.After &&
			known.message() == failure.message()) {
			r.refused[group].events = append(r.refused[group].events, uint32(i))
			return
		}
	}
	r.refused = append(r.refused, refusal{failure, []uint32{uint32(i)}})
}

// StopAt says that events from index i on were not tried. They come again, in order, at no cost in attempts.
func (r *Report) StopAt(i int) { r.stopped, r.stoppedAt = true, i }

// StoppedAt is the first event that was not tried, and whether there is one.
func (r *Report) StoppedAt() (int, bool) { return r.stoppedAt, r.stopped }

// Refused calls f with each failure and the events that it befell.
func (r *Report) Refused(f func(failure *Error, events []uint32)) {
	for _, group := range r.refused {
		f(group.failure, group.events)
	}
}
