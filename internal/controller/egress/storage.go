package egress

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/controller/distribute/ca"
)

// Storage keeps the Secret.
type Storage interface {
	// Load returns the entries of the Secret, nil if there is none, and a token for Save.
	Load(ctx context.Context) (data map[string][]byte, revision string, err error)
	// Save replaces what Load returned with that revision, or returns ca.ErrConflict.
	Save(ctx context.Context, data map[string][]byte, revision string) error
}

// load returns the authority that signs at now: a user's own, or the manager's, which is made if it is wanted and renewed when it is time. It
// is nil if there is none, and if what the Secret holds cannot be used: what somebody put there is not replaced.
func (k *Renewer) load(ctx context.Context, wanted bool, now time.Time) (*authority, error) {
	for range 3 {
		data, revision, err := k.opts.Storage.Load(ctx)
		switch {
		case err != nil:
			return nil, fmt.Errorf("read secret %s: %w", SecretName, err)
		case len(data[chainEntry])+len(data[keyEntry]) > 0:
			a, err := ownAuthority(data, now)
			if err != nil {
				return nil, k.invalid(err)
			}
			return a, nil
		case len(data[managedEntry]) == 0 && !wanted:
			return nil, nil
		}
		as, err := ca.Parse(data[managedEntry])
		if err != nil {
			return nil, k.invalid(err)
		}
		renewed, changed, err := as.RenewFor(managed, now)
		if err != nil {
			return nil, err
		}
		if !changed {
			return managedAuthority(renewed, now)
		}
		err = k.save(ctx, renewed, revision)
		if err == nil {
			return managedAuthority(renewed, now)
		}
		if !errors.Is(err, ca.ErrConflict) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("save secret %s: %w", SecretName, ca.ErrConflict)
}

func (k *Renewer) save(ctx context.Context, as ca.Authorities, revision string) error {
	text, err := as.Marshal()
	if err != nil {
		return err
	}
	if err := k.opts.Storage.Save(ctx, map[string][]byte{managedEntry: text}, revision); err != nil {
		return fmt.Errorf("save secret %s: %w", SecretName, err)
	}
	return nil
}

func (k *Renewer) invalid(err error) error {
	k.say(EventInvalid, fmt.Sprintf("Secret %s holds no usable authority: %v. The one before stays in force, if there was one.", SecretName, err))
	return fmt.Errorf("secret %s: %w", SecretName, err)
}
