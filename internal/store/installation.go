package store

import (
	"database/sql"
	"errors"
	"fmt"
)

// installationKind binds what Installation keeps to its place (abuse 75).
const installationKind = "Installation"

// Installation reads something that all nodes of a database share: the key that
// agents trust, the key of cookies. It is kept sealed; "" when there is none.
func Installation(tx *Tx, name string) (value string, err error) {
	var box []byte
	err = tx.queryRow(`SELECT value FROM installation WHERE name = $1`, name).Scan(&box)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err == nil {
		value, err = tx.OpenBox(installationKind, name, "Value", box)
	}
	if err != nil {
		return "", fmt.Errorf("read %s of the installation: %w", name, err)
	}
	return value, nil
}

// KeepInstallation stores it.
func KeepInstallation(tx *Tx, name, value string) error {
	box, err := tx.SealBox("", installationKind, name, "Value", value)
	if err == nil {
		_, err = tx.exec(`INSERT INTO installation (name, value) VALUES ($1,$2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, box)
	}
	if err != nil {
		return fmt.Errorf("keep %s of the installation: %w", name, err)
	}
	return nil
}
