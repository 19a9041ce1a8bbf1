//go:build go1.23

package bridgeclient

import "iter"

// All ranges over the items:
//
//	for item, err := range items.All() {
//		if err != nil {
//			return err
//		}
//		use(item)
//	}
//
// A failure is the last pair. Leaving the loop ends the call.
func (i *Iterator[T]) All() iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		defer i.Close()
		for i.Next() {
			if !yield(i.Value(), nil) {
				return
			}
		}
		if err := i.Err(); err != nil {
			var none T
			yield(none, err)
		}
	}
}
