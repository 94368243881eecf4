// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
module modelport

go 1.19
